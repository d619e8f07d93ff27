import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { event } from "@gantry/contracts";
import { isGantryError, silentLogger } from "@gantry/kernel";
import { sharedPostgres, startPostgres, uniqueName, waitFor, type TestService } from "@gantry/testkit";
import { sql } from "kysely";
import pg from "pg";
import { Type as T } from "typebox";
import { databaseContractSuite, migrations, type Tables } from "../contract-suite.ts";
import { openDatabase } from "../open.ts";
import { relayOutbox } from "../relay.ts";

databaseContractSuite("PostgreSQL", async () => {
  const postgres = await sharedPostgres();
  const name = uniqueName("db");
  const schemas = new Set<string>();
  return {
    open: (service, options) => {
      schemas.add(`${name}-${service}`.replaceAll("-", "_"));
      return openDatabase<Tables>(postgres.url, { service: `${name}-${service}`, maxConnections: 5, ...options });
    },
    async [Symbol.asyncDispose]() {
      const client = new pg.Client(postgres.url);
      await client.connect();
      for (const schema of schemas) await client.query(`drop schema if exists ${pg.escapeIdentifier(schema)} cascade`);
      await client.end();
      await postgres[Symbol.asyncDispose]();
    },
  };
});

const unavailable = (error: unknown) => isGantryError(error, "UNAVAILABLE");
const account = (name: string) => ({ name, balance: 0, notes: null, picture: null, open: 1 });

describe("PostgreSQL: faults", { timeout: 60_000 }, () => {
  let postgres: TestService;
  before(async () => { postgres = await startPostgres(); });
  after(async () => { await postgres[Symbol.asyncDispose](); });

  test("a service has a schema of its own", async () => {
    await using one = await openDatabase<Tables>(postgres.url, { service: "image-store", migrations });
    await using two = await openDatabase<Tables>(postgres.url, { service: "scheduler", migrations });
    await one.query.insertInto("account").values(account("x")).execute();
    assert.deepEqual(await two.query.selectFrom("account").selectAll().execute(), []);
    const { rows } = await sql<{ schema: string }>`select current_schema() as schema`.execute(one.query);
    assert.deepEqual(rows, [{ schema: "image_store" }]);
  });

  test("the server has infra's settings: what was acknowledged is on disk", async () => {
    await using db = await openDatabase<Tables>(postgres.url, { service: "settings", migrations });
    const show = async (name: string) => Object.values((await sql<Record<string, string>>`show ${sql.raw(name)}`.execute(db.query)).rows[0]!)[0];
    assert.deepEqual(await Promise.all(["synchronous_commit", "max_pred_locks_per_transaction", "idle_in_transaction_session_timeout"].map(show)), ["on", "256", "1min"]);
  });

  test("a failed statement cannot be committed over", async () => {
    await using db = await openDatabase<Tables>(postgres.url, { service: "swallow", migrations });
    await assert.rejects(db.transaction(async (tx) => {
      await tx.insertInto("account").values({ name: "a", balance: 0, notes: null, picture: null, open: 1 }).execute();
      await sql`select * from nowhere`.execute(tx).catch(() => {});
    }));
    assert.deepEqual(await db.query.selectFrom("account").selectAll().execute(), []);
  });

  test("a server that is away is UNAVAILABLE, and used again when it is back", async () => {
    await using db = await openDatabase<Tables>(postgres.url, { service: "away", migrations, patienceMs: 300 });
    await postgres.kill();
    const asked = performance.now();
    await assert.rejects(db.transaction(async (tx) => { await tx.selectFrom("account").selectAll().execute(); }), unavailable);
    await assert.rejects(db.query.selectFrom("account").selectAll().execute(), unavailable);
    await assert.rejects(db.query.insertInto("account").values(account("nobody")).execute(), unavailable);
    for (let n = 0; n < 50; n++) await assert.rejects(db.query.selectFrom("account").selectAll().execute(), unavailable);
    assert.ok(performance.now() - asked < 5_000, "once it is known to be away, nobody waits for it");
    const opening = openDatabase<Tables>(postgres.url, { service: "early", migrations });
    await postgres.start();
    await (await opening)[Symbol.asyncDispose]();
    await waitFor(() => db.transaction(async (tx) => { await tx.selectFrom("account").selectAll().execute(); return true; }));
  });

  test("over a restart, reads and transactions wait and are done, each once", async () => {
    await using db = await openDatabase<Tables>(postgres.url, { service: "restarted", migrations });
    await db.query.insertInto("account").values(account("a")).execute();
    for (const end of [() => postgres.stop(), () => postgres.kill()]) {
      const started = Promise.withResolvers<void>();
      let runs = 0;
      const under = db.transaction(async (tx) => {
        runs++;
        await tx.updateTable("account").set((e) => ({ balance: e("balance", "+", 1) })).where("name", "=", "a").execute();
        started.resolve();
        // The server goes away here, the first time.
        if (runs === 1) await ended.promise;
        await tx.selectFrom("account").selectAll().execute();
      });
      const ended = Promise.withResolvers<void>();
      await started.promise;
      await end();
      ended.resolve();
      const reads = Array.from({ length: 20 }, () => db.query.selectFrom("account").select("balance").where("name", "=", "a").executeTakeFirstOrThrow());
      const adds = Array.from({ length: 5 }, () => db.transaction(async (tx) => { await tx.updateTable("account").set((e) => ({ balance: e("balance", "+", 1) })).where("name", "=", "a").execute(); }));
      await postgres.start();
      await Promise.all([under, ...reads, ...adds]);
      assert.ok(runs >= 2);
    }
    assert.deepEqual(await db.query.selectFrom("account").select("balance").executeTakeFirst(), { balance: 12 });
  });

  test("sessions that are ended: reads go on, a statement that changes something tells that it may not have been done", async () => {
    await using db = await openDatabase<Tables>(postgres.url, { service: "ended", instance: "one", migrations });
    await using other = await openDatabase<Tables>(postgres.url, { service: "ended", instance: "two", migrations });
    await db.query.insertInto("account").values(account("a")).execute();
    const slow = sql`update account set balance = 1 where pg_sleep(20) is not null`.execute(db.query);
    const refused = assert.rejects(slow, unavailable);
    await waitFor(async () => (await sql<{ n: number }>`select count(*) as n from pg_stat_activity where query like 'update account%' and application_name = 'gantry-ended/one'`.execute(other.query)).rows[0]!.n === 1);
    await other.endSessions("one");
    await refused;
    for (let n = 0; n < 20; n++) assert.deepEqual(await db.query.selectFrom("account").select("balance").executeTakeFirst(), { balance: 0 });
  });

  test("a server that goes away while it commits: nobody knows, and it is not done again", async () => {
    await using db = await openDatabase<Tables>(postgres.url, { service: "committing", instance: "one", migrations });
    await using other = await openDatabase<Tables>(postgres.url, { service: "committing", instance: "two", migrations });
    await sql`create function linger() returns trigger language plpgsql as 'begin perform pg_sleep(20); return null; end'`.execute(other.query);
    await sql`create constraint trigger linger after insert on account deferrable initially deferred for each row execute function linger()`.execute(other.query);
    let runs = 0;
    const writing = db.transaction(async (tx) => {
      runs++;
      await tx.insertInto("account").values(account("a")).execute();
    });
    const refused = assert.rejects(writing, (error) => unavailable(error) && /while it committed/.test((error as Error).message));
    await waitFor(async () => (await sql<{ n: number }>`select count(*) as n from pg_stat_activity where query = 'commit' and state = 'active' and application_name = 'gantry-committing/one'`.execute(other.query)).rows[0]!.n === 1);
    await other.endSessions("one");
    await refused;
    assert.equal(runs, 1);
  });

  test("two relays on one schema: every message is sent, one relay at a time, in order", async () => {
    const happened = event("pgtest.word.happened.v1", T.Object({ n: T.Integer() }));
    const open = () => openDatabase<Tables>(postgres.url, { service: "relays", migrations });
    await using one = await open();
    await using two = await open();
    const sent: number[] = [];
    let sending = 0;
    const target = {
      async publish(_: unknown, body: unknown) {
        assert.equal(++sending, 1);
        await new Promise((resolve) => setImmediate(resolve));
        sent.push((body as { n: number }).n);
        sending--;
      },
      async send() {},
    };
    await using _one = relayOutbox(one, target, { logger: silentLogger });
    await using _two = relayOutbox(two, target, { logger: silentLogger });
    for (let n = 0; n < 40; n++) await (n % 2 === 0 ? one : two).transaction(async (_, outbox) => { await outbox.publish(happened, { n }); });
    await waitFor(() => sent.length === 40);
    assert.deepEqual(sent, Array.from({ length: 40 }, (_, n) => n));
  });
});
