import { X509Certificate } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fail } from "@gantry/contracts";
import { identitiesOf, type Identity } from "../identity.ts";
import { hosts, validity } from "../peer.ts";
import { AUTHORITY, KEY_SUFFIX } from "./files.ts";

export interface ListedCertificate {
  /** Without `.pem`. */
  readonly name: string;
  /** null: a CA. */
  readonly identity: Identity | null;
  readonly hosts: string;
  readonly validTo: Date;
  /** null: good; else why not. */
  readonly fault: string | null;
}

/** The certificates in a directory of `gantry certs`: CAs first, then by name. Throws NOT_FOUND where there is no CA. */
export async function listCertificates(dir: string, now = Date.now()): Promise<ListedCertificate[]> {
  const names = await readdir(dir).catch((): string[] => []);
  if (!names.includes(AUTHORITY)) throw fail("NOT_FOUND", `${join(dir, AUTHORITY)} is not there: make a CA first (gantry certs ca --dir ${dir})`);
  const authorities = await read(join(dir, AUTHORITY));
  const listed = authorities.map((certificate): ListedCertificate => ({ name: "ca", identity: null, hosts: "", validTo: certificate.validToDate, fault: validity(certificate, now) }));
  for (const name of names.filter((file) => file.endsWith(".pem") && !file.endsWith(KEY_SUFFIX) && file !== AUTHORITY).toSorted()) {
    const certificate = (await read(join(dir, name)))[0]!;
    const signed = authorities.some((issuer) => certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey));
    listed.push({
      name: name.slice(0, -".pem".length), identity: identitiesOf(certificate.subjectAltName)[0] ?? null, hosts: hosts(certificate), validTo: certificate.validToDate,
      fault: validity(certificate, now) ?? (signed ? null : "is not signed by this CA"),
    });
  }
  return listed;
}

async function read(path: string): Promise<X509Certificate[]> {
  const blocks = (await readFile(path, "utf8")).match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g);
  if (blocks === null) throw fail("INVALID", `${path} holds no certificate`);
  return blocks.map((pem) => new X509Certificate(pem));
}
