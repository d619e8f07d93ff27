import assert from "node:assert/strict";
import { lstat, mkdtemp, rm, writeFile } from "node:fs/promises";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createLocalBus } from "@gantry/bus";
import { silentLogger, systemClock } from "@gantry/kernel";
import { Guard } from "../auth/guard.ts";
import { createApp } from "../http/app.ts";
import { listen } from "./listen.ts";

const app = async () => {
  const bus = createLocalBus({ service: "test", clock: systemClock, logger: silentLogger });
  return createApp([{ method: "GET", path: "/x", handle: async (x) => x.text("x") }], {
    serverHeader: "test", logger: silentLogger, guard: await Guard.open({ bus, clock: systemClock, logger: silentLogger }),
  });
};
const options = { logger: silentLogger, tls: null, names: [] };

test("the socket is private, refused to a second server, and taken over from a dead one", async () => {
  const dir = await mkdtemp(join(tmpdir(), "gantry-listen-"));
  try {
    const path = join(dir, "d.sock");
    const first = await listen(`unix:${path}`, await app(), options);
    assert.equal((await lstat(path)).mode & 0o777, 0o660);
    await assert.rejects(listen(`unix:${path}`, await app(), options), /another server is listening/);
    assert.equal(await get(path), "x");
    await first[Symbol.asyncDispose]();
    await assert.rejects(lstat(path), { code: "ENOENT" });

    // A dead server's socket: bound, and nobody listens.
    const { spawnSync } = await import("node:child_process");
    spawnSync(process.execPath, ["-e", `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`]);
    assert.ok((await lstat(path)).isSocket());
    await using second = await listen(`unix:${path}`, await app(), options);
    assert.equal(second.address, `unix:${path}`);
    assert.equal(await get(path), "x");
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});

test("what is no socket is left alone, and addresses off loopback are refused", async () => {
  const dir = await mkdtemp(join(tmpdir(), "gantry-listen-"));
  try {
    const path = join(dir, "file");
    await writeFile(path, "mine");
    await assert.rejects(listen(`unix:${path}`, await app(), options), /is not a socket/);
    for (const address of ["0.0.0.0:0", "http://0.0.0.0:0", "[::]:0"]) await assert.rejects(listen(address, await app(), options), { code: "INVALID", message: /is not on loopback/ });
    await assert.rejects(listen("https://127.0.0.1:0", await app(), options), { code: "INVALID", message: /GANTRY_API_TLS_CERT/ });
    await assert.rejects(listen("nonsense", await app(), options), { code: "INVALID" });
    await using first = await listen("127.0.0.1:0", await app(), options);
    assert.match(first.address, /^http:\/\/127\.0\.0\.1:[0-9]+$/);
    await assert.rejects(listen(first.address, await app(), options), { code: "CONFLICT" });
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});

function get(socketPath: string): Promise<string> {
  return new Promise((resolve, reject) => {
    http.get({ socketPath, path: "/x", agent: false }, (response) => {
      let text = "";
      response.on("data", (chunk) => { text += chunk; });
      response.on("end", () => resolve(text));
    }).on("error", reject);
  });
}
