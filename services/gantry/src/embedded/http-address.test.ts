import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createLocalBus, on } from "@gantry/bus";
import { fail, parseToken, tokenCheck, tokenCreate } from "@gantry/contracts";
import { silentLogger, systemClock } from "@gantry/kernel";
import { dashboardUrl, listenAddresses, listenOnFree } from "./http-address.ts";
import { startToken } from "./start-token.ts";

test("addresses to listen on", () => {
  assert.equal(listenAddresses(undefined), null);
  assert.equal(listenAddresses(""), null);
  assert.deepEqual(listenAddresses("none"), []);
  assert.deepEqual(listenAddresses("127.0.0.1:1, https://0.0.0.0:2376"), ["127.0.0.1:1", "https://0.0.0.0:2376"]);
  assert.equal(dashboardUrl("https://0.0.0.0:2376", "t", "host1"), "https://host1:2376/?token=t");
  assert.equal(dashboardUrl("https://[::]:2376", "t", "host1"), "https://host1:2376/?token=t");
  assert.equal(dashboardUrl("http://127.0.0.1:2385", "t", "host1"), "http://127.0.0.1:2385/?token=t");
});

test("a port that is taken is passed over; another fault is not", async () => {
  const taken = (upTo: number) => async (address: string) => {
    const port = Number(new URL(address).port);
    if (port !== 0 && port <= upTo) throw fail("CONFLICT", "taken");
    return address;
  };
  assert.equal(await listenOnFree(taken(0)), "http://127.0.0.1:2385");
  assert.equal(await listenOnFree(taken(2386)), "http://127.0.0.1:2387");
  assert.equal(await listenOnFree(taken(65535)), "http://127.0.0.1:0");
  await assert.rejects(listenOnFree(async () => { throw fail("INVALID", "no loopback"); }), { code: "INVALID" });
});

test("the start token is made once, kept for its owner only, and made anew when it was removed", async () => {
  await using scope = new AsyncDisposableStack();
  const dir = mkdtempSync(join(tmpdir(), "gantry-token-"));
  scope.defer(() => rmSync(dir, { recursive: true }));
  const file = join(dir, "start-token");
  const bus = scope.use(createLocalBus({ service: "test", clock: systemClock, logger: silentLogger }));
  const hashes = new Map<string, string>();
  scope.use(await bus.serve("scheduler", [
    on(tokenCreate, async ({ id, hash, name, role, expires }) => {
      hashes.set(id, hash);
      return { id, name, role, created: "", expires, lastUsed: null };
    }),
    on(tokenCheck, async ({ id }) => ({ token: hashes.has(id) ? { hash: hashes.get(id)!, name: "", role: "admin" as const, expires: null, session: false } : null })),
  ]));
  const first = await startToken(file, bus);
  assert.equal(hashes.get(parseToken(first)!.id), parseToken(first)!.hash);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.equal(await startToken(file, bus), first);
  assert.equal(hashes.size, 1);
  hashes.clear();
  const second = await startToken(file, bus);
  assert.notEqual(second, first);
  assert.equal(readFileSync(file, "utf8"), `${second}\n`);
  writeFileSync(file, "nonsense");
  assert.notEqual(await startToken(file, bus), second);
});
