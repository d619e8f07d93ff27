import "reflect-metadata";
import { webcrypto } from "node:crypto";
import { isIP } from "node:net";
import { join } from "node:path";
import * as x509 from "@peculiar/x509";
import { fail } from "@gantry/contracts";
import { hostsOf, validity } from "../certificate.ts";
import type { CredentialFiles } from "../credentials.ts";
import { identityOf, identityUri, isIdentity, type Identity } from "../identity.ts";
import { readCertificates, readKeyPair } from "../pem.ts";
import { AUTHORITY, AUTHORITY_KEY, makeDirectory, pathsOf, writeWhole } from "./files.ts";

const KEY = { name: "ECDSA", namedCurve: "P-256" } as const;
const SIGNING = { name: "ECDSA", hash: "SHA-256" } as const;
const DAY_MS = 86_400_000;
const CA_DAYS = 3650;
const DAYS = 365;
/** Certificates are good a little before they are made: clocks differ. */
const EARLIER_MS = 300_000;
const HOST_NAME = /^(?=.{1,253}$)(?:\*\.)?[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$/;

export interface AuthorityOptions {
  readonly dir: string;
  /** How long it is good; default 3650. */
  readonly days?: number;
}

export interface IssueOptions {
  readonly dir: string;
  readonly identity: Identity;
  /** Names and addresses under which others reach it; none for one that only calls others. */
  readonly hosts: readonly string[];
  /** Default 365; never longer than the CA itself. */
  readonly days?: number;
  /** Of its files: default `<service>` or `node-<ID>`. */
  readonly name?: string;
  /** When it begins to be good; default now. */
  readonly from?: Date;
  /** Puts it in the place of one that is there. */
  readonly replace?: boolean;
}

export interface RenewOptions {
  readonly dir: string;
  /** Of its files, without `.pem`. */
  readonly name: string;
  /** As of a new one. */
  readonly days?: number;
}

/**
 * Makes the CA of a fleet: `ca.pem`, which every service is given, and `ca-key.pem`, which none needs. Throws CONFLICT where there is
 * one.
 */
export async function createAuthority({ dir, days = CA_DAYS }: AuthorityOptions): Promise<{ readonly ca: string }> {
  const ca = join(dir, AUTHORITY);
  const { cert, key } = await makeAuthority(days);
  await makeDirectory(dir);
  await writeWhole(join(dir, AUTHORITY_KEY), key, { mode: 0o600, replace: false });
  await writeWhole(ca, cert, { mode: 0o644, replace: false });
  return { ca };
}

/**
 * Puts a new CA before the one that is there: `ca.pem` holds both, so that what the old one signed stays good. Give it to every service
 * before certificates of the new one.
 */
export async function renewAuthority({ dir, days = CA_DAYS }: AuthorityOptions): Promise<{ readonly ca: string }> {
  const ca = join(dir, AUTHORITY);
  const { certificates } = await readCertificates(ca);
  const { cert, key } = await makeAuthority(days);
  const kept = certificates.filter((one) => validity(one, Date.now()) === null).map(String);
  await writeWhole(join(dir, AUTHORITY_KEY), key, { mode: 0o600, replace: true });
  await writeWhole(ca, [cert, ...kept].map((pem) => `${pem.trim()}\n`).join(""), { mode: 0o644, replace: true });
  return { ca };
}

async function makeAuthority(days: number): Promise<{ cert: string; key: string }> {
  checkDays(days);
  const keys = await webcrypto.subtle.generateKey(KEY, true, ["sign", "verify"]);
  const now = Date.now();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(), name: [{ O: ["Gantry"] }, { CN: [`Gantry fleet CA ${new Date(now).toISOString().slice(0, 10)} ${serial().slice(0, 6)}`] }],
    notBefore: new Date(now - EARLIER_MS), notAfter: new Date(now + days * DAY_MS), keys, signingAlgorithm: SIGNING,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  }, webcrypto as Crypto);
  return { cert: `${certificate.toString("pem").trim()}\n`, key: await privatePem(keys.privateKey) };
}

/**
 * Issues a certificate, with a key of its own, for one service or node. Throws INVALID for hosts that are none, CONFLICT where there is
 * one and it is not to be replaced, NOT_FOUND without a CA.
 */
export async function issueCertificate(options: IssueOptions): Promise<CredentialFiles> {
  const { dir, identity, hosts, days = DAYS, from = new Date(), replace = false } = options;
  if (!isIdentity(identity)) throw fail("INVALID", `${JSON.stringify(identity)} names no service or node`);
  checkDays(days);
  const authority = await openAuthority(dir);
  const keys = await webcrypto.subtle.generateKey(KEY, true, ["sign", "verify"]);
  const begin = from.getTime() - EARLIER_MS;
  const end = Math.min(from.getTime() + days * DAY_MS, authority.certificate.notAfter.getTime());
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serial(), subject: [{ O: ["Gantry"] }, { CN: [identity] }], issuer: authority.certificate.subjectName,
    notBefore: new Date(begin), notAfter: new Date(end), publicKey: keys.publicKey, signingKey: authority.key, signingAlgorithm: SIGNING,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
      new x509.SubjectAlternativeNameExtension([{ type: "url", value: identityUri(identity) }, ...[...new Set(hosts)].map(hostName)]),
      await x509.AuthorityKeyIdentifierExtension.create(authority.certificate.publicKey),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  }, webcrypto as Crypto);
  const paths = pathsOf(dir, options.name ?? identity.replace(/^service\//, "").replace("/", "-"));
  // The key first: a service that looks in between sees that they do not fit, and waits.
  await writeWhole(paths.key, await privatePem(keys.privateKey), { mode: 0o600, replace });
  await writeWhole(paths.cert, `${certificate.toString("pem").trim()}\n`, { mode: 0o644, replace });
  return paths;
}

/** Replaces a certificate, and its key, by a new one for the same service or node and hosts. Throws INVALID for one that is none. */
export async function renewCertificate({ dir, name, days }: RenewOptions): Promise<CredentialFiles> {
  const { cert } = pathsOf(dir, name);
  const { certificates: [before] } = await readCertificates(cert);
  const identity = identityOf(before.subjectAltName);
  if (identity === null) throw fail("INVALID", `${cert} is not the certificate of a service or node`);
  return await issueCertificate({ dir, name, identity, hosts: hostsOf(before), replace: true, ...(days === undefined ? {} : { days }) });
}

async function openAuthority(dir: string): Promise<{ certificate: x509.X509Certificate; key: webcrypto.CryptoKey }> {
  const ca = join(dir, AUTHORITY);
  const pair = await readKeyPair(ca, join(dir, AUTHORITY_KEY)).catch((cause: unknown) => {
    throw fail("NOT_FOUND", `there is no CA with its key in ${dir}: ${(cause as Error).message} (gantry certs init makes one)`, { cause });
  });
  const dates = validity(pair.certificate, Date.now());
  if (dates !== null) throw fail("INVALID", `the CA in ${ca} ${dates} (gantry certs renew ca makes a new one)`);
  const key = await webcrypto.subtle.importKey("pkcs8", x509.PemConverter.decodeFirst(pair.key), KEY, false, ["sign"]);
  return { certificate: new x509.X509Certificate(pair.certificate.raw), key };
}

function hostName(host: string): { type: "ip" | "dns"; value: string } {
  if (isIP(host) !== 0) return { type: "ip", value: host };
  if (!HOST_NAME.test(host) || /^[0-9.]+$/.test(host)) throw fail("INVALID", `${JSON.stringify(host)} is neither a host name nor an address: give it without a port`);
  return { type: "dns", value: host };
}

function checkDays(days: number): void {
  if (!Number.isInteger(days) || days < 1 || days > 36500) throw fail("INVALID", `a certificate is good for 1 to 36500 days, not ${days}`);
}

/** 127 random bits: positive, and of one length. */
function serial(): string {
  const bytes = webcrypto.getRandomValues(new Uint8Array(16));
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return Buffer.from(bytes).toString("hex");
}

async function privatePem(key: webcrypto.CryptoKey): Promise<string> {
  return `${x509.PemConverter.encode(await webcrypto.subtle.exportKey("pkcs8", key), "PRIVATE KEY").trim()}\n`;
}
