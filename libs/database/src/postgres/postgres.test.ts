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

describe("PostgreSQL: faults", { timeout: 60_000 }, () => {
  let postgres: TestService;
  before(async () => { postgres = await startPostgres(); });
  after(async () => { await postgres[Symbol.asyncDispose](); });

  test("a service has a schema of its own", async () => {
    await using one = await openDatabase<Tables>(postgres.url, { service: "image-store", migrations });
    await using two = await openDatabase<Tables>(postgres.url, { service: "scheduler", migrations });
    await one.query.insertInto("account").values({ name: "x", balance: 1, notes: null, picture: null, open: 1 }).execute();
    assert.deepEqual(await two.query.selectFrom("account").selectAll().execute(), []);
    const { rows } = await sql<{ schema: string }>`select current_schema() as schema`.execute(one.query);
    assert.deepEqual(rows, [{ schema: "image_store" }]);
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
    await using db = await openDatabase<Tables>(postgres.url, { service: "away", migrations });
    await postgres.kill();
    await assert.rejects(db.transaction(async (tx) => { await tx.selectFrom("account").selectAll().execute(); }), (error) => isGantryError(error, "UNAVAILABLE"));
    const opening = openDatabase<Tables>(postgres.url, { service: "early", migrations });
    await postgres.start();
    await (await opening)[Symbol.asyncDispose]();
    await waitFor(() => db.transaction(async (tx) => { await tx.selectFrom("account").selectAll().execute(); return true; }));
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
