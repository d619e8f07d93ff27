/** `gantry certs`, and what openssl has to say to its certificates. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { MAIN, ok, run, type Result } from "../support/command.ts";

let place: string;
let dir: string;
before(() => { place = mkdtempSync(join(tmpdir(), "gantry-certs-")); dir = join(place, "certs"); });
after(() => rmSync(place, { recursive: true, force: true }));

const certs = (...args: string[]): Promise<Result> => run(process.execPath, [MAIN, "certs", ...args, "--dir", dir], { env: { DOCKER_HOST: "" } });
const openssl = (...args: string[]): Promise<string> => ok("openssl", args);

test("a CA is made once; certificates that openssl takes for both ends; keys are root's alone", async () => {
  const without = await certs("issue", "api");
  assert.deepEqual([without.code, /there is no CA with its key in .* \(gantry certs init makes one\)/.test(without.stderr)], [1, true], without.stderr);
  assert.equal((await certs("init")).stdout, `${join(dir, "ca.pem")}\n`);
  const before = readFileSync(join(dir, "ca-key.pem"), "utf8");
  const again = await certs("init");
  assert.deepEqual([again.code, /ca-key\.pem exists and is left as it is/.test(again.stderr)], [1, true], again.stderr);
  assert.equal(readFileSync(join(dir, "ca-key.pem"), "utf8"), before);

  const issued = await certs("issue", "node/n1", "--host", "10.0.0.3,n1.example", "--host", "fd00::3", "--days", "20");
  assert.equal(issued.stdout, `${join(dir, "node-n1.pem")}\n${join(dir, "node-n1-key.pem")}\n`);
  for (const name of ["ca-key.pem", "node-n1-key.pem"]) assert.equal(statSync(join(dir, name)).mode & 0o777, 0o600);
  for (const [purpose, name, value] of [["sslserver", "-verify_ip", "10.0.0.3"], ["sslserver", "-verify_hostname", "n1.example"], ["sslclient", "-verify_ip", "fd00::3"]] as const) {
    assert.match(await openssl("verify", "-x509_strict", "-purpose", purpose, name, value, "-CAfile", join(dir, "ca.pem"), join(dir, "node-n1.pem")), /: OK$/);
  }
  assert.match(await openssl("x509", "-in", join(dir, "node-n1.pem"), "-noout", "-ext", "subjectAltName"), /URI:gantry:node\/n1/);
});

test("what it will not issue, it says why", async () => {
  const refused = async (words: RegExp, ...args: string[]): Promise<void> => {
    const { code, stderr } = await certs(...args);
    assert.ok(code !== 0 && words.test(stderr), stderr);
  };
  await refused(/node-n1-key\.pem exists and is left as it is/, "issue", "node/n1", "--host", "10.0.0.9");
  await refused(/others call image-store: say at which name or address \(--host\)/, "issue", "image-store");
  await refused(/It must be api, build, image-store, prometheus, or node\/ID/, "issue", "scheduler");
  await refused(/neither a host name nor an address: give it without a port/, "issue", "build", "--host", "10.0.0.3:7002");
});

test("ls tells until when; renew replaces what ends soon, and the CA beside its forerunner", async () => {
  await certs("issue", "api");
  const rows = async (): Promise<string[]> => (await certs("ls")).stdout.trimEnd().split("\n").slice(1).map((row) => row.replace(/ {2,}/g, " | ").replace(/\d{4}-\d\d-\d\d/, "DAY"));
  assert.deepEqual(await rows(), ["ca | the fleet | - | DAY | good for 3649 days", "api | service api | - | DAY | good for 364 days", "node-n1 | node n1 | 10.0.0.3, n1.example, fd00::3 | DAY | good for 19 days"]);
  assert.equal((await certs("renew")).stdout, `${join(dir, "node-n1.pem")}\n`);
  assert.match((await certs("renew")).stderr, /None ends within 30 days/);
  assert.equal((await certs("renew", "ca", "api")).stdout, `${join(dir, "ca.pem")}\n${join(dir, "api.pem")}\n`);
  assert.deepEqual((await rows()).map((row) => row.replace(/\d+ days/, "N days")), [
    "ca | the fleet | - | DAY | good for N days", "ca | the fleet | - | DAY | good for N days", "api | service api | - | DAY | good for N days", "node-n1 | node n1 | 10.0.0.3, n1.example, fd00::3 | DAY | good for N days",
  ]);
  for (const name of ["api", "node-n1"]) assert.match(await openssl("verify", "-CAfile", join(dir, "ca.pem"), join(dir, `${name}.pem`)), /: OK$/);
});
