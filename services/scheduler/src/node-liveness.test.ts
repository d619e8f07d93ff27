import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "@gantry/testkit";
import { LEASE_MS, NodeLiveness, TICK_MS } from "./node-liveness.ts";

/** A scheduler that runs and hears itself; `b` is silent. */
async function live(clock: FakeClock, liveness: NodeLiveness, ms: number, echo: boolean): Promise<void> {
  for (let passed = 0; passed < ms; passed += TICK_MS) {
    await clock.advance(TICK_MS);
    if (echo) liveness.echo();
    liveness.tick();
  }
}

test("a node is alive for one lease after it was heard, and calls to it end with that", async () => {
  const clock = new FakeClock();
  const liveness = new NodeLiveness(clock, { echoes: true });
  liveness.hear("b", null);
  const lost = liveness.lost("b");
  await live(clock, liveness, LEASE_MS - TICK_MS, true);
  assert.deepEqual([liveness.isAlive("b"), lost.aborted], [true, false]);
  await live(clock, liveness, 2 * TICK_MS, true);
  assert.deepEqual([liveness.isAlive("b"), lost.aborted], [false, true]);
  liveness.hear("b", null);
  assert.deepEqual([liveness.isAlive("b"), liveness.lost("b").aborted], [true, false]);
});

test("while the scheduler does not hear itself nobody is silent; afterwards nodes get time to be heard", async () => {
  const clock = new FakeClock();
  const liveness = new NodeLiveness(clock, { echoes: true });
  for (const node of ["a", "b"]) liveness.hear(node, null);
  await live(clock, liveness, 60_000, false);
  assert.ok(liveness.isAlive("a"));
  liveness.echo();
  await live(clock, liveness, 4_000, true);
  assert.ok(liveness.isAlive("a") && liveness.isAlive("b"));
  liveness.hear("a", null);
  await live(clock, liveness, 4_000, true);
  assert.deepEqual([liveness.isAlive("a"), liveness.isAlive("b")], [true, false]);
});

test("a scheduler that was stopped does not take its own absence for that of the nodes, nor bring back one that was gone", async () => {
  for (const echoes of [true, false]) {
    const clock = new FakeClock();
    const liveness = new NodeLiveness(clock, { echoes });
    liveness.hear("gone", null);
    await live(clock, liveness, LEASE_MS + TICK_MS, echoes);
    liveness.hear("b", null);
    await clock.advance(60_000);
    assert.deepEqual([liveness.isAlive("b"), liveness.isAlive("gone")], [true, false], String(echoes));
    if (echoes) liveness.echo();
    liveness.tick();
    assert.deepEqual([liveness.isAlive("b"), liveness.isAlive("gone")], [true, false], String(echoes));
    await live(clock, liveness, LEASE_MS + TICK_MS, echoes);
    assert.ok(!liveness.isAlive("b"));
  }
});
