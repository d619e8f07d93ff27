import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { fail } from "@gantry/contracts";
import { hostsOf, validity } from "../certificate.ts";
import { identityOf, type Identity } from "../identity.ts";
import { isSignedBy, readCertificates } from "../pem.ts";
import { AUTHORITY, KEY_SUFFIX } from "./files.ts";

export interface ListedCertificate {
  /** Without `.pem`. */
  readonly name: string;
  /** null: a CA, or a certificate that is none of a service or node. */
  readonly identity: Identity | null;
  readonly hosts: readonly string[];
  readonly validFrom: Date;
  readonly validTo: Date;
  /** null: good; else why not. */
  readonly fault: string | null;
}

/** The certificates in a directory of `gantry certs`: CAs first, then by name. Throws NOT_FOUND where there is no CA. */
export async function listCertificates(dir: string, now = Date.now()): Promise<ListedCertificate[]> {
  const names = await readdir(dir).catch((): string[] => []);
  if (!names.includes(AUTHORITY)) throw fail("NOT_FOUND", `${join(dir, AUTHORITY)} is not there: make a CA first (gantry certs init --dir ${dir})`);
  const authorities = (await readCertificates(join(dir, AUTHORITY))).certificates;
  const listed = authorities.map((certificate): ListedCertificate => ({
    name: "ca", identity: null, hosts: [], validFrom: certificate.validFromDate, validTo: certificate.validToDate, fault: validity(certificate, now),
  }));
  for (const file of names.filter((name) => name.endsWith(".pem") && !name.endsWith(KEY_SUFFIX) && name !== AUTHORITY).toSorted()) {
    const [certificate] = (await readCertificates(join(dir, file))).certificates;
    listed.push({
      name: file.slice(0, -".pem".length), identity: identityOf(certificate.subjectAltName), hosts: hostsOf(certificate), validFrom: certificate.validFromDate,
      validTo: certificate.validToDate, fault: validity(certificate, now) ?? (isSignedBy(certificate, authorities) ? null : "is not signed by this CA"),
    });
  }
  return listed;
}
