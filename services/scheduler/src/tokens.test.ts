import assert from "node:assert/strict";
import { test } from "node:test";
import { createLocalBus, LocalBroker, on, type Bus } from "@gantry/bus";
import { newToken, sessionCreate, tokenCheck, tokenCreate, tokenList, tokenRemove, tokenRemoved, tokenUsed } from "@gantry/contracts";
import { openDatabase } from "@gantry/database";
import { silentLogger } from "@gantry/kernel";
import { FakeClock, sharedPostgres, tempDir, waitFor } from "@gantry/testkit";
import { databaseOptions, start, type SchedulerTables } from "./module.ts";

const HOUR = 3_600_000;

async function open(url: (scope: AsyncDisposableStack) => Promise<string>): Promise<AsyncDisposable & { bus: Bus; clock: FakeClock; removed: string[]; later(ms: number): string }> {
  const scope = new AsyncDisposableStack();
  const clock = new FakeClock();
  const shared = { clock, logger: silentLogger };
  const broker = new LocalBroker(silentLogger);
  const bus = scope.use(createLocalBus({ service: "test", broker, ...shared }));
  const removed: string[] = [];
  scope.use(await bus.subscribe([on(tokenRemoved, async (event) => { removed.push(...event.ids); return event; })]));
  const database = scope.use(await openDatabase<SchedulerTables>(await url(scope), { ...databaseOptions, ...shared }));
  await start({ concurrency: 64, reserve: "limits" }, { bus: scope.use(createLocalBus({ service: "scheduler", broker, ...shared })), database, ...shared }, scope);
  return { bus, clock, removed, later: (ms) => new Date(clock.now() + ms).toISOString(), [Symbol.asyncDispose]: () => scope.disposeAsync() };
}

const DATABASES: Readonly<Record<string, (scope: AsyncDisposableStack) => Promise<string>>> = {
  SQLite: async (scope) => `sqlite:${tempDir(scope)}`,
  PostgreSQL: async (scope) => scope.use(await sharedPostgres()).url,
};

for (const [kind, url] of Object.entries(DATABASES)) {
  test(`${kind}: a token is made once, listed, used, removed with its sessions`, async () => {
    await using s = await open(url);
    const { bus, clock } = s;
    const { id, hash } = newToken();
    const made = await bus.call(tokenCreate, { id, hash, name: "ci", role: "builder", expires: s.later(HOUR) });
    assert.deepEqual(made, { id, name: "ci", role: "builder", created: s.later(0), expires: s.later(HOUR), lastUsed: null });
    assert.deepEqual(await bus.call(tokenCreate, { id, hash, name: "other", role: "admin", expires: null }), made);
    await assert.rejects(bus.call(tokenCreate, { id, hash: newToken().hash, name: "ci", role: "admin", expires: null }), { code: "CONFLICT" });
    assert.deepEqual(await bus.call(tokenCheck, { id }), { token: { hash, name: "ci", role: "builder", expires: made.expires, session: false } });

    await bus.call(tokenUsed, { id, at: s.later(0) });
    assert.equal((await bus.call(tokenList, {})).tokens[0]?.lastUsed, s.later(0));

    const session = newToken();
    assert.deepEqual(await bus.call(sessionCreate, { id: session.id, hash: session.hash, token: id, expires: s.later(2 * HOUR) }), { expires: made.expires }, "no longer than its token");
    assert.deepEqual((await bus.call(tokenCheck, { id: session.id })).token, { hash: session.hash, name: "ci", role: "builder", expires: made.expires, session: true });
    assert.deepEqual((await bus.call(tokenList, {})).tokens.map((token) => token.id), [id]);
    await assert.rejects(bus.call(sessionCreate, { ...newToken(), token: session.id, expires: s.later(HOUR) }), { code: "NOT_FOUND" });

    await bus.call(tokenRemove, { id });
    await waitFor(() => s.removed.length === 2);
    assert.deepEqual(s.removed.toSorted(), [id, session.id].toSorted());
    assert.deepEqual([await bus.call(tokenCheck, { id }), await bus.call(tokenCheck, { id: session.id })], [{ token: null }, { token: null }]);
    await assert.rejects(bus.call(tokenRemove, { id }), { code: "NOT_FOUND", message: `No such token: ${id}` });
    await bus.call(tokenUsed, { id, at: s.later(0) });
    await assert.rejects(bus.call(tokenCreate, { ...newToken(), name: "", role: "viewer", expires: new Date(clock.now()).toISOString() }), { code: "INVALID", message: /is over/ });
  });
}

test("a token keeps its newest sessions; ended ones go", async () => {
  await using s = await open(DATABASES["SQLite"]!);
  const { id, hash } = newToken();
  await s.bus.call(tokenCreate, { id, hash, name: "", role: "viewer", expires: null });
  const sessions: string[] = [];
  for (let i = 0; i < 34; i++) {
    const session = newToken();
    sessions.push(session.id);
    await s.bus.call(sessionCreate, { id: session.id, hash: session.hash, token: id, expires: s.later(HOUR) });
    await s.clock.advance(1000);
  }
  await waitFor(() => s.removed.length === 2);
  assert.deepEqual(s.removed, sessions.slice(0, 2));
  await s.clock.advance(2 * HOUR);
  await s.bus.call(sessionCreate, { ...newToken(), token: id, expires: s.later(HOUR) });
  assert.equal((await s.bus.call(tokenCheck, { id: sessions[20]! })).token, null);
});
