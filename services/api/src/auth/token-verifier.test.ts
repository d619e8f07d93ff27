import assert from "node:assert/strict";
import { test } from "node:test";
import { createLocalBus, LocalBroker } from "@gantry/bus";
import { newToken, tokenRemoved } from "@gantry/contracts";
import { silentLogger } from "@gantry/kernel";
import { FakeClock, waitFor } from "@gantry/testkit";
import { PaperTokens } from "../testing/paper-tokens.ts";
import { FRESH_MS, STALE_MS, TokenVerifier } from "./token-verifier.ts";

async function setUp(scope: AsyncDisposableStack) {
  const clock = new FakeClock();
  const broker = new LocalBroker(silentLogger);
  const busOf = (service: string) => scope.use(createLocalBus({ service, broker, clock, logger: silentLogger }));
  const bus = busOf("scheduler");
  const tokens = new PaperTokens(clock);
  let serving: AsyncDisposable | null = null;
  const scheduler = {
    come: async () => { serving = await bus.serve("scheduler", tokens.routes()); },
    go: async () => { await serving?.[Symbol.asyncDispose](); },
  };
  scope.defer(scheduler.go);
  await scheduler.come();
  const removed: string[] = [];
  const verifier = scope.use(await TokenVerifier.open({ bus: busOf("api"), clock, logger: silentLogger }, (id) => removed.push(id)));
  return { clock, tokens, scheduler, verifier, removed, bus };
}

test("a valid token is asked about once a second; its use is told once in ten minutes", async () => {
  await using scope = new AsyncDisposableStack();
  const { clock, tokens, verifier } = await setUp(scope);
  const token = tokens.add({ role: "builder", name: "ci" });
  assert.equal(verifier.knows(token), false);
  const answers = await Promise.all(Array.from({ length: 20 }, () => verifier.verify(token)));
  assert.ok(answers.every((answer) => answer?.role === "builder" && answer.name === "ci"));
  assert.equal(tokens.checks, 1);
  assert.equal(verifier.knows(token), true);
  await verifier.verify(token);
  assert.equal(tokens.checks, 1);
  await clock.advance(FRESH_MS);
  await verifier.verify(token);
  assert.equal(tokens.checks, 2);
  await waitFor(() => tokens.used.length === 1);
  await clock.advance(10 * 60_000);
  await verifier.verify(token);
  await waitFor(() => tokens.used.length === 2);
  assert.deepEqual(tokens.used, [token.id, token.id]);
});

test("wrong, unknown, removed and expired tokens are none", async () => {
  await using scope = new AsyncDisposableStack();
  const { clock, tokens, verifier, removed, bus } = await setUp(scope);
  const token = tokens.add({ expires: new Date(clock.now() + 500).toISOString() });
  assert.equal(await verifier.verify({ id: token.id, hash: newToken().hash }), null);
  assert.equal(verifier.knows({ id: token.id, hash: newToken().hash }), false);
  assert.equal(await verifier.verify(newToken()), null);
  assert.notEqual(await verifier.verify(token), null);
  await clock.advance(500);
  assert.equal(await verifier.verify(token), null, "expired, though the answer is still fresh");

  const other = tokens.add({});
  assert.notEqual(await verifier.verify(other), null);
  tokens.remove(other.id);
  await clock.advance(FRESH_MS);
  assert.equal(await verifier.verify(other), null, "removed, without the event");

  const third = tokens.add({});
  assert.notEqual(await verifier.verify(third), null);
  tokens.remove(third.id);
  await bus.publish(tokenRemoved, { ids: [third.id] });
  await waitFor(() => removed.includes(third.id));
  assert.equal(await verifier.verify(third), null, "removed, at once");
});

test("while the scheduler is away, answers of the last minute serve; then nobody can tell", async () => {
  await using scope = new AsyncDisposableStack();
  const { clock, tokens, verifier, scheduler } = await setUp(scope);
  const token = tokens.add({});
  await verifier.verify(token);
  await scheduler.go();
  for (let at = 0; at < STALE_MS - FRESH_MS; at += FRESH_MS) {
    await clock.advance(FRESH_MS);
    assert.notEqual(await verifier.verify(token), null, `after ${at} ms`);
  }
  await assert.rejects(verifier.verify(newToken()), { code: "UNAVAILABLE" });
  await clock.advance(FRESH_MS);
  await assert.rejects(verifier.verify(token), { code: "UNAVAILABLE", message: /the scheduler does not answer/ });
  assert.equal(verifier.knows(token), false);
  await scheduler.come();
  assert.notEqual(await verifier.verify(token), null);
});
