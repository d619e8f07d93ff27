import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { fail } from "@gantry/contracts";

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** A certificate with its key, as PEM text. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
  readonly certificate: X509Certificate;
  /** Those between it and its CA that the file holds too. */
  readonly intermediates: readonly X509Certificate[];
}

/** Reads a certificate and its key. Throws INVALID where a file cannot be read or they do not belong together. */
export async function readKeyPair(certPath: string, keyPath: string): Promise<KeyPair> {
  const [{ text: cert, certificates: [certificate, ...intermediates] }, key] = await Promise.all([readCertificates(certPath), readText(keyPath)]);
  let matches: boolean;
  try {
    matches = certificate.checkPrivateKey(createPrivateKey(key));
  } catch (cause) {
    throw fail("INVALID", `${keyPath} holds no private key in PEM form`, { cause });
  }
  if (!matches) throw fail("INVALID", `${keyPath} is not the key of the certificate in ${certPath}`);
  return { cert, key, certificate, intermediates };
}

/** Reads a file of one or more certificates. Throws INVALID. */
export async function readCertificates(path: string): Promise<{ readonly text: string; readonly certificates: [X509Certificate, ...X509Certificate[]] }> {
  const text = await readText(path);
  try {
    const [first, ...rest] = certificateBlocks(text).map((block) => new X509Certificate(block));
    if (first !== undefined) return { text, certificates: [first, ...rest] };
  } catch (cause) {
    throw fail("INVALID", `${path} holds a certificate that cannot be read`, { cause });
  }
  throw fail("INVALID", `${path} holds no certificate in PEM form`);
}

/** The certificates of a PEM text, each as such a text. */
export function certificateBlocks(text: string): string[] {
  return text.match(CERTIFICATE) ?? [];
}

/** Whether the certificate is signed by one of these. */
export function isSignedBy(certificate: X509Certificate, issuers: readonly X509Certificate[]): boolean {
  return issuers.some((issuer) => certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey));
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw fail("INVALID", `cannot read ${path}: ${(cause as Error).message}`, { cause });
  }
}
