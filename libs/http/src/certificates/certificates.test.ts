import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { chmodSync, copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { isGantryError, silentLogger } from "@gantry/kernel";
import { Credentials } from "../credentials.ts";
import { createAuthority, issueCertificate, listCertificates, renewAuthority, renewCertificate } from "./index.ts";

const DAY_MS = 86_400_000;

function temporary(): Disposable & { readonly dir: string } {
  const parent = mkdtempSync(join(tmpdir(), `gantry-certs-${process.pid}-`));
  return { dir: join(parent, "certs"), [Symbol.dispose]: () => rmSync(parent, { recursive: true, force: true }) };
}

const files = (dir: string): Record<string, string> => Object.fromEntries(readdirSync(dir).toSorted().map((name) => [name, readFileSync(join(dir, name), "utf8")]));
const certificate = (dir: string, name: string): X509Certificate => new X509Certificate(readFileSync(join(dir, `${name}.pem`)));

test("keys are their owner's alone, whatever the umask", async () => {
  using place = temporary();
  const { dir } = place;
  const before = process.umask(0);
  try {
    await createAuthority({ dir });
    await issueCertificate({ dir, identity: "node/n1", hosts: ["10.0.0.3"] });
    await renewCertificate({ dir, name: "node-n1" });
    await renewAuthority({ dir });
  } finally {
    process.umask(before);
  }
  assert.deepEqual(readdirSync(dir).toSorted(), ["ca-key.pem", "ca.pem", "node-n1-key.pem", "node-n1.pem"]);
  assert.deepEqual(Object.fromEntries(readdirSync(dir).map((name) => [name, (statSync(join(dir, name)).mode & 0o777).toString(8)])), { "ca-key.pem": "600", "ca.pem": "644", "node-n1-key.pem": "600", "node-n1.pem": "644" });
  assert.equal(statSync(dir).mode & 0o777, 0o700);
});

test("nothing that is there is overwritten", async () => {
  using place = temporary();
  const { dir } = place;
  await createAuthority({ dir });
  await issueCertificate({ dir, identity: "service/api", hosts: [] });
  const before = files(dir);
  const conflict = (e: unknown): boolean => isGantryError(e, "CONFLICT") && /exists and is left as it is/.test(e.message);
  await assert.rejects(createAuthority({ dir }), conflict);
  await assert.rejects(issueCertificate({ dir, identity: "service/api", hosts: [] }), conflict);
  await assert.rejects(issueCertificate({ dir, identity: "node/n1", hosts: [], name: "api" }), conflict);
  // Also where two ask at once, one of them wins.
  const both = await Promise.allSettled([1, 2].map(() => issueCertificate({ dir, identity: "node/n1", hosts: [] })));
  assert.equal(both.filter(({ status }) => status === "rejected").length, 1);
  const { "node-n1.pem": _cert, "node-n1-key.pem": _key, ...others } = files(dir);
  assert.deepEqual(others, before);
  await Credentials.open({ ca: join(dir, "ca.pem"), cert: join(dir, "node-n1.pem"), key: join(dir, "node-n1-key.pem") }, { logger: silentLogger }).then((one) => one[Symbol.dispose]());
});

test("a certificate is for one service or node, its hosts, and both ends of a connection; the CA for certificates alone", async () => {
  using place = temporary();
  const { dir } = place;
  await createAuthority({ dir, days: 100 });
  await issueCertificate({ dir, identity: "node/n1", hosts: ["10.0.0.3", "fd00::3", "n1.example"] });
  const [ca, n1] = [certificate(dir, "ca"), certificate(dir, "node-n1")];
  assert.deepEqual([ca.ca, n1.ca], [true, false]);
  assert.ok(n1.checkIssued(ca) && n1.verify(ca.publicKey));
  assert.deepEqual(n1.subjectAltName!.split(", ").toSorted(), ["DNS:n1.example", "IP Address:10.0.0.3", "IP Address:FD00:0:0:0:0:0:0:3", "URI:gantry:node/n1"]);
  assert.deepEqual(n1.keyUsage?.toSorted(), ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]);
  // Never longer than what vouches for it.
  assert.equal(n1.validTo, ca.validTo);
  assert.ok(n1.validFromDate.getTime() < Date.now());
  for (const host of ["", "10.0.0.3:80", "a b", "-x", "https://x", "10.0.0"]) await assert.rejects(issueCertificate({ dir, identity: "node/n2", hosts: [host] }), (e) => isGantryError(e, "INVALID"), host);
  for (const identity of ["node/", "node/../x", "api"]) await assert.rejects(issueCertificate({ dir, identity: identity as "node/x", hosts: [] }), (e) => isGantryError(e, "INVALID"), identity);
  for (const name of ["../x", "ca", "x-key", ""]) await assert.rejects(issueCertificate({ dir, identity: "node/n2", hosts: [], name }), (e) => isGantryError(e, "INVALID"), name);
  assert.equal(readdirSync(dir).length, 4);
});

test("renewed, it is for the same and has another key; the list tells what is good", async () => {
  using place = temporary();
  const { dir } = place;
  await assert.rejects(issueCertificate({ dir, identity: "service/api", hosts: [] }), (e) => isGantryError(e, "NOT_FOUND") && /gantry certs init/.test(e.message));
  await createAuthority({ dir });
  await issueCertificate({ dir, identity: "node/n1", hosts: ["10.0.0.3", "n1.example"], days: 2 });
  await issueCertificate({ dir, identity: "service/api", hosts: [], from: new Date(Date.now() - 10 * DAY_MS), days: 3 });
  const before = certificate(dir, "node-n1");
  await renewCertificate({ dir, name: "node-n1" });
  const after = certificate(dir, "node-n1");
  assert.equal(after.subjectAltName, before.subjectAltName);
  assert.notEqual(after.publicKey.export({ type: "spki", format: "pem" }), before.publicKey.export({ type: "spki", format: "pem" }));
  assert.ok(after.validToDate.getTime() > Date.now() + 360 * DAY_MS);
  const listed = await listCertificates(dir);
  assert.deepEqual(listed.map(({ name, identity, hosts }) => ({ name, identity, hosts })), [
    { name: "ca", identity: null, hosts: [] }, { name: "api", identity: "service/api", hosts: [] }, { name: "node-n1", identity: "node/n1", hosts: ["10.0.0.3", "n1.example"] },
  ]);
  assert.deepEqual(listed.map(({ fault }) => fault?.slice(0, 17) ?? null), [null, "expired 7 days ag", null]);
});

test("a CA that is renewed goes on to vouch for what its forerunner signed", async () => {
  using place = temporary();
  const { dir } = place;
  await createAuthority({ dir });
  await issueCertificate({ dir, identity: "service/api", hosts: [] });
  await renewAuthority({ dir });
  await issueCertificate({ dir, identity: "node/n1", hosts: [] });
  assert.deepEqual((await listCertificates(dir)).map(({ name, fault }) => [name, fault]), [["ca", null], ["ca", null], ["api", null], ["node-n1", null]]);
  assert.ok(!certificate(dir, "api").checkIssued(certificate(dir, "ca")));
  // A key that is not the CA's signs nothing.
  copyFileSync(join(dir, "node-n1-key.pem"), join(dir, "ca-key.pem"));
  chmodSync(join(dir, "ca-key.pem"), 0o600);
  await assert.rejects(issueCertificate({ dir, identity: "node/n2", hosts: [] }), (e) => isGantryError(e, "NOT_FOUND") && /is not the key of the certificate in/.test(e.message));
});
