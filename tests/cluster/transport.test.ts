/** What travels between hosts: who is let in, and how often a layer is fetched. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request as plainRequest } from "node:http";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { certificatesOf, servicesOf, tlsOf } from "../testbed/layout.ts";
import { sharedTestbed } from "../testbed/shared.ts";
import type { Testbed } from "../testbed/testbed.ts";

const MB = 1024 * 1024;

let bed: Testbed;
before(async () => { bed = await sharedTestbed(); });
after(() => bed[Symbol.asyncDispose]());

/** One HTTPS request from outside of the hosts, with the certificate of a process of the testbed or with none. */
function ask(process: string, path: string, as: string | null): Promise<{ status: number; body: string }> {
  const [host, port] = addressOf(process);
  const { GANTRY_TLS_CERT: cert, GANTRY_TLS_KEY: key } = as === null ? {} : tlsOf(bed.layout, as);
  return new Promise((resolve, reject) => {
    request({
      host, port, path, agent: false, ca: readFileSync(join(certificatesOf(bed.layout), "ca.pem")),
      ...(cert === undefined || key === undefined ? {} : { cert: readFileSync(cert), key: readFileSync(key) }),
    }, (response) => { text(response).then((body) => resolve({ status: response.statusCode!, body }), reject); }).on("error", reject).end();
  });
}

function addressOf(process: string): [host: string, port: number] {
  const [host, port] = servicesOf(bed.layout).find(({ name }) => name === process)!.env["GANTRY_LISTEN"]!.split(":");
  return [host!, Number(port)];
}

test("agents, build workers and the image store are reached by a certificate of the fleet alone, and by the right one", async (t) => {
  t.after(() => bed.docker(["rm", "-f", "guarded"]));
  const container = await bed.ok(["run", "-d", "--name", "guarded", "-e", "constraint:node==agent-1", "busybox", "sleep", "1000"]);
  const logs = `/v1/containers/${container}/logs?stdout=1`;
  for (const [process, path] of [["agent-1", logs], ["worker-1", "/v1/builds/0/logs?from=0"], ["image-store", "/v1/images/save?name=busybox"]] as const) {
    // The handshake ends in the server's refusal: not one byte is answered.
    await assert.rejects(ask(process, path, null), { code: /^(ECONNRESET|EPIPE|ERR_SSL_)/ }, process);
    const [host, port] = addressOf(process);
    await assert.rejects(new Promise((resolve, reject) => { plainRequest({ host, port, path, agent: false }, resolve).on("error", reject).end(); }), { code: /^(ECONNRESET|EPIPE|HPE_)/ }, process);
    // Another node has a certificate of the fleet, but no business here.
    const other = await ask(process, path, "agent-2");
    assert.equal(other.status, 403, process);
    assert.match(other.body, /the caller's certificate is for node agent-2, expected service api/);
  }
  assert.match(readFileSync(bed.log("agent-1"), "utf8"), /a TLS connection was refused/);
  assert.equal((await ask("agent-1", logs, "agent-1")).status, 403);
  assert.equal((await ask("agent-1", logs, "api")).status, 200);
  assert.equal((await ask("image-store", `/v1/blobs/sha256:${"0".repeat(64)}`, "agent-2")).status, 404);
});

test("a layer travels to a host once: three containers at once, more of them later, another image on the same base", async (t) => {
  const context = mkdtempSync(join(tmpdir(), "gantry-transport-"));
  const names: string[] = [];
  t.after(async () => {
    rmSync(context, { recursive: true, force: true });
    await bed.docker(["rm", "-f", ...names]);
    await bed.docker(["rmi", "onward", "travels"]);
  });
  const host = "agent-2";
  // Incompressible, so that what is on the wire is what is in the layers.
  const image = async (name: string, base: string, size: number): Promise<void> => {
    const dir = join(context, name);
    mkdirSync(dir);
    writeFileSync(join(dir, "data"), randomBytes(size));
    writeFileSync(join(dir, "Dockerfile"), `FROM ${base}\nCOPY data /${name}\n`);
    await bed.ok(["build", "-q", "-t", name, dir], { timeoutMs: 120_000 });
  };
  await image("travels", "busybox", 24 * MB);
  await image("onward", "travels", 8 * MB);
  const received = async (): Promise<number> => Number((await bed.exec(host, "cat", ["/sys/class/net/eth0/statistics/rx_bytes"])).stdout);
  const run = async (name: string, files: number): Promise<void> => {
    const container = `carried-${names.length}`;
    names.push(container);
    await bed.ok(["run", "-d", "--name", container, "-e", `constraint:node==${host}`, name, "sleep", "1000"], { timeoutMs: 120_000 });
    assert.equal(await bed.ok(["exec", container, "sh", "-c", "cat /travels /onward 2>/dev/null | wc -c"]), String(files));
  };
  /** Megabytes that come to the host while something is done. */
  const cost = async (work: () => Promise<unknown>): Promise<number> => {
    const before = await received();
    await work();
    return (await received() - before) / MB;
  };
  // busybox itself is of no interest.
  await bed.ok(["run", "--rm", "-e", `constraint:node==${host}`, "busybox", "true"]);

  const first = await cost(() => Promise.all([run("travels", 24 * MB), run("travels", 24 * MB), run("travels", 24 * MB)]));
  assert.ok(first > 23 && first < 30, `three containers at once of an image with 24 MB of its own: ${first.toFixed(1)} MB came`);
  const later = await cost(async () => { for (let i = 0; i < 3; i++) await run("travels", 24 * MB); });
  assert.ok(later < 2, `three more: ${later.toFixed(1)} MB came`);
  const onward = await cost(() => Promise.all([run("onward", 32 * MB), run("onward", 32 * MB)]));
  assert.ok(onward > 7 && onward < 12, `two containers at once of an image with 8 MB on top: ${onward.toFixed(1)} MB came`);
  t.diagnostic(`24 MB layer, three containers at once: ${first.toFixed(1)} MB; three more: ${later.toFixed(1)} MB; 8 MB on top, two at once: ${onward.toFixed(1)} MB`);
});
