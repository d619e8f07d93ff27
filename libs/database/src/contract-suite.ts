import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { event, fail, job } from "@gantry/contracts";
import { isGantryError, silentLogger, type Clock } from "@gantry/kernel";
import { FakeClock, waitFor } from "@gantry/testkit";
import { sql, type Generated } from "kysely";
import type { Migration } from "kysely/migration";
import { Type as T } from "typebox";
import { isUniqueViolation } from "./errors.ts";
import { fromJson, toJson } from "./json.ts";
import type { Database, OutboxTarget } from "./port.ts";
import { relayOutbox } from "./relay.ts";
import { columnTypes } from "./schema.ts";

export interface Tables {
  account: { id: Generated<number>; name: string; balance: number; notes: string | null; picture: Uint8Array | null; open: number };
}

export const migrations: Readonly<Record<string, Migration>> = {
  "0001-account": {
    async up(db) {
      const types = columnTypes(db);
      await sql`create table account (id ${types.autoId}, name text not null unique, balance bigint not null, notes text, picture ${types.blob}, open integer not null)`.execute(db);
    },
  },
};

export interface DatabaseHarness extends AsyncDisposable {
  /** Opens a database of that name; the same name is the same data. The suite disposes it. */
  open(service: string, options: { migrations: Readonly<Record<string, Migration>>; clock?: Clock }): Promise<Database<Tables>>;
}

const happened = event("dbsuite.word.happened.v1", T.Object({ n: T.Integer() }));
const toil = job("dbsuite.word.toil.v1", T.Object({ n: T.Integer() }));

/** What every implementation of {@link Database} does. */
export function databaseContractSuite(name: string, openHarness: () => Promise<DatabaseHarness>): void {
  describe(`database: ${name}`, { timeout: 60_000 }, () => {
    let harness: DatabaseHarness;
    let count = 0;
    before(async () => { harness = await openHarness(); });
    after(async () => { await harness[Symbol.asyncDispose](); });

    const open = (clock?: Clock) => harness.open(`suite${count++}`, { migrations, ...(clock === undefined ? {} : { clock }) });
    const account = (name: string, balance = 0) => ({ name, balance, notes: null, picture: null, open: 1 });
    const balanceOf = async (db: Database<Tables>, name: string) => (await db.query.selectFrom("account").select("balance").where("name", "=", name).executeTakeFirstOrThrow()).balance;

    test("values come back as they went in, as plain objects", async () => {
      await using db = await open();
      const notes = { text: "häßlich ☃", list: [1, null, "x"], "a string": "\"quoted\"" };
      const written = { name: "a", balance: Number.MAX_SAFE_INTEGER, notes: toJson(notes), picture: new Uint8Array([0, 1, 255]), open: 1 };
      const { id } = await db.query.insertInto("account").values(written).returning("id").executeTakeFirstOrThrow();
      assert.equal(id, 1);
      const row = await db.query.selectFrom("account").selectAll().executeTakeFirstOrThrow();
      assert.deepEqual({ ...row, picture: [...(row.picture ?? [])] }, { id: 1, ...written, picture: [0, 1, 255] });
      assert.deepEqual(fromJson(row.notes ?? ""), notes);
      for (const value of ["text", 1, true, null, [], {}]) assert.deepEqual(fromJson(toJson(value)), value);
      const { n } = await db.query.selectFrom("account").select((e) => e.fn.countAll<number>().as("n")).executeTakeFirstOrThrow();
      assert.equal(n, 1);
      const { numUpdatedRows } = await db.query.updateTable("account").set({ open: 0 }).where("open", "=", 1).executeTakeFirstOrThrow();
      assert.equal(numUpdatedRows, 1n);
    });

    test("a whole number beyond what a number holds is an error, not another number", async () => {
      await using db = await open();
      await sql`insert into account (name, balance, open) values ('big', 9007199254740993, 1)`.execute(db.query);
      await assert.rejects(db.query.selectFrom("account").select("balance").execute(), RangeError);
    });

    test("a transaction commits all or nothing, and gives what the work gave", async () => {
      await using db = await open();
      assert.equal(await db.transaction(async (tx) => {
        await tx.insertInto("account").values(account("a")).execute();
        return "done";
      }), "done");
      await assert.rejects(db.transaction(async (tx) => {
        await tx.insertInto("account").values(account("b")).execute();
        throw fail("CONFLICT", "changed my mind");
      }), (error) => isGantryError(error, "CONFLICT"));
      assert.deepEqual(await db.query.selectFrom("account").select("name").execute(), [{ name: "a" }]);
    });

    test("what is not committed is not seen outside", async () => {
      await using db = await open();
      await db.transaction(async (tx) => {
        await tx.insertInto("account").values(account("a")).execute();
        assert.equal((await tx.selectFrom("account").selectAll().execute()).length, 1);
        assert.equal((await db.query.selectFrom("account").selectAll().execute()).length, 0);
      });
      assert.equal((await db.query.selectFrom("account").selectAll().execute()).length, 1);
    });

    test("read, then write: no increment is lost", async () => {
      await using db = await open();
      await db.query.insertInto("account").values(account("a")).execute();
      await Promise.all(Array.from({ length: 20 }, () => db.transaction(async (tx) => {
        const { balance } = await tx.selectFrom("account").select("balance").where("name", "=", "a").executeTakeFirstOrThrow();
        await tx.updateTable("account").set({ balance: balance + 1 }).where("name", "=", "a").execute();
      })));
      assert.equal(await balanceOf(db, "a"), 20);
    });

    test("statements outside of transactions wait for those within, and are kept when they roll back", async () => {
      await using db = await open();
      const { promise: gate, resolve: finish } = Promise.withResolvers<void>();
      const { promise: began, resolve: begin } = Promise.withResolvers<void>();
      const transaction = db.transaction(async (tx) => {
        await tx.insertInto("account").values(account("inside")).execute();
        begin();
        await gate;
        throw fail("CONFLICT", "no");
      });
      await began;
      const outside = db.query.insertInto("account").values(account("outside")).execute();
      finish();
      await assert.rejects(transaction);
      await outside;
      assert.deepEqual(await db.query.selectFrom("account").select("name").execute(), [{ name: "outside" }]);
    });

    test("a transaction within a transaction is refused rather than waited for", async () => {
      await using db = await open();
      await assert.rejects(db.transaction(async () => { await db.transaction(async () => {}); }), (error) => isGantryError(error, "INTERNAL") && /tx/.test(error.message));
      await db.query.insertInto("account").values(account("still works")).execute();
    });

    test("a breach of a unique key is told", async () => {
      await using db = await open();
      await db.query.insertInto("account").values(account("a")).execute();
      await assert.rejects(db.query.insertInto("account").values(account("a")).execute(), isUniqueViolation);
      await assert.rejects(sql`insert into account (name) values ('x')`.execute(db.query), (error) => !isUniqueViolation(error));
    });

    test("data outlives the process; migrations run once, in order, and a failed one changes nothing", async () => {
      const service = `again${count++}`;
      {
        await using db = await harness.open(service, { migrations });
        await db.query.insertInto("account").values(account("kept")).execute();
      }
      const more = { ...migrations, "0002-rename": { up: async (db) => { await db.updateTable("account").set({ name: "migrated" }).execute(); } } satisfies Migration };
      const broken = { ...more, "0003-broken": { up: async (db) => {
        await db.updateTable("account").set({ name: "half" }).execute();
        await sql`select * from nowhere`.execute(db);
      } } satisfies Migration };
      await assert.rejects(harness.open(service, { migrations: broken }), (error) => isGantryError(error, "INTERNAL") && /0003-broken/.test(error.message));
      {
        await using db = await harness.open(service, { migrations: more });
        assert.deepEqual(await db.query.selectFrom("account").select("name").execute(), [{ name: "migrated" }]);
      }
      await assert.rejects(harness.open(service, { migrations }), (error) => isGantryError(error, "INTERNAL"), "the database is newer than the program");
    });

    test("several processes may open, and migrate, a database at once", async () => {
      const service = `race${count++}`;
      const opened = await Promise.all([1, 2, 3].map(() => harness.open(service, { migrations })));
      await Promise.all(opened.map((db) => db[Symbol.asyncDispose]()));
    });

    test("the first sight of a message is told once for each consumer, also if its transaction is undone", async () => {
      await using db = await open();
      const see = (consumer: string, id: string) => db.transaction((tx) => db.firstSight(tx, consumer, id));
      await assert.rejects(db.transaction(async (tx) => {
        assert.equal(await db.firstSight(tx, "a", "1"), true);
        throw fail("CONFLICT", "undone");
      }));
      assert.deepEqual([await see("a", "1"), await see("a", "1"), await see("b", "1"), await see("a", "2")], [true, false, true, true]);
    });

    test("sights are forgotten after a week", async () => {
      const clock = new FakeClock();
      await using db = await open(clock);
      const see = (id: string) => db.transaction((tx) => db.firstSight(tx, "a", id));
      await see("old");
      await clock.advance(6 * 24 * 3600 * 1000);
      assert.equal(await see("old"), false);
      await clock.advance(2 * 24 * 3600 * 1000);
      assert.equal(await see("new"), true);
      assert.equal(await see("old"), true);
    });

    describe("outbox", () => {
      /** A target that records, and fails as told. */
      function target() {
        const sent: { name: string; n: number; key: string; node: string | undefined }[] = [];
        const faults: { failing: (name: string) => Error | null } = { failing: () => null };
        const record = async (contract: { name: string }, body: unknown, options: { key?: string; node?: string } = {}) => {
          const error = faults.failing(contract.name);
          if (error !== null) throw error;
          sent.push({ name: contract.name, n: (body as { n: number }).n, key: options.key ?? "", node: options.node });
        };
        const to: OutboxTarget = { publish: record, send: record };
        return { sent, faults, to };
      }
      const relay = (db: Database<Tables>, to: OutboxTarget) => relayOutbox(db, to, { logger: silentLogger, pollMs: 60_000, backoff: { baseMs: 5, maxMs: 20 } });

      test("messages of committed transactions are sent, in order, and only they", async () => {
        await using db = await open();
        const { sent, to } = target();
        await using _relay = relay(db, to);
        for (let n = 0; n < 30; n++) {
          await db.transaction(async (_, outbox) => {
            await outbox.publish(happened, { n });
            if (n % 3 === 0) throw fail("CONFLICT", "undone");
          }).catch(() => {});
        }
        const expected = Array.from({ length: 30 }, (_, n) => n).filter((n) => n % 3 !== 0);
        await waitFor(() => sent.length >= expected.length);
        assert.deepEqual(sent.map(({ n }) => n), expected);
        assert.equal(new Set(sent.map(({ key }) => key)).size, expected.length);
      });

      test("nothing is sent before the commit", async () => {
        await using db = await open();
        const { sent, to } = target();
        await using _relay = relay(db, to);
        await db.transaction(async (_, outbox) => {
          await outbox.publish(happened, { n: 1 });
          await new Promise((resolve) => setTimeout(resolve, 30));
          assert.equal(sent.length, 0);
        });
        await waitFor(() => sent.length === 1);
      });

      test("what a crash left is sent at the next start", async () => {
        const service = `crash${count++}`;
        {
          await using db = await harness.open(service, { migrations });
          await db.transaction(async (_, outbox) => {
            await outbox.publish(happened, { n: 7 });
            await outbox.send(toil, { n: 8 }, { key: "mine" });
          });
        }
        await using db = await harness.open(service, { migrations });
        const { sent, to } = target();
        await using _relay = relay(db, to);
        await waitFor(() => sent.length === 2);
        assert.deepEqual(sent.map(({ name, n }) => [name, n]), [[happened.name, 7], [toil.name, 8]]);
        assert.equal(sent[1]?.key, "mine");
      });

      test("a destination that fails is tried again with the same key, in order, and holds back no other", async () => {
        await using db = await open();
        const { sent, faults, to } = target();
        let failures = 0;
        faults.failing = (name) => (name === toil.name && ++failures <= 3 ? fail("UNAVAILABLE", "not now") : null);
        await using _relay = relay(db, to);
        await db.transaction(async (_, outbox) => {
          await outbox.send(toil, { n: 1 }, { key: "k1" });
          await outbox.publish(happened, { n: 2 });
          await outbox.send(toil, { n: 3 });
        });
        await waitFor(() => sent.length === 3);
        assert.deepEqual(sent.map(({ n }) => n), [2, 1, 3]);
        assert.equal(sent[1]?.key, "k1");
      });

      test("a full outbox refuses transactions that would add to it, and those alone, until there is room", async () => {
        await using db = await open();
        const { sent, faults, to } = target();
        faults.failing = () => fail("UNAVAILABLE", "no broker");
        await using _relay = relayOutbox(db, to, { logger: silentLogger, pollMs: 10, maxWaiting: 5, backoff: { baseMs: 5, maxMs: 20 } });
        const add = (n: number) => db.transaction(async (tx, outbox) => {
          await tx.insertInto("account").values({ name: `n${n}`, balance: n, notes: null, picture: null, open: 1 }).execute();
          await outbox.publish(happened, { n });
        });
        let taken = 0;
        await waitFor(async () => {
          try {
            await add(taken);
            taken++;
            return false;
          } catch (error) {
            assert.ok(isGantryError(error, "UNAVAILABLE") && /5 messages of .* wait for the message broker already: try again later/.test(error.message), String(error));
            return true;
          }
        });
        assert.ok(taken >= 5);
        await db.transaction(async (tx) => { await tx.insertInto("account").values({ name: "silent", balance: 0, notes: null, picture: null, open: 1 }).execute(); });
        assert.equal((await db.query.selectFrom("account").selectAll().execute()).length, taken + 1, "what was refused is undone");
        faults.failing = () => null;
        await waitFor(() => sent.length === taken);
        await waitFor(() => add(taken).then(() => true, () => false));
        await waitFor(() => sent.length === taken + 1);
        assert.deepEqual(sent.map(({ n }) => n), Array.from({ length: taken + 1 }, (_, n) => n));
      });

      test("a message that can never be sent is set aside, and blocks nothing", async () => {
        await using db = await open();
        const { sent, faults, to } = target();
        faults.failing = () => (sent.length === 0 && !refused ? (refused = true, fail("TOO_LARGE", "much too large")) : null);
        let refused = false;
        await using _relay = relay(db, to);
        await db.transaction(async (_, outbox) => {
          await outbox.publish(happened, { n: 1 });
          await outbox.publish(happened, { n: 2 });
        });
        await waitFor(() => sent.length === 1);
        assert.equal(sent[0]?.n, 2);
        const { rows } = await waitFor(async () => {
          const result = await sql<{ failed: string | null }>`select failed from gantry_outbox`.execute(db.query);
          return result.rows.length === 1 ? result : null;
        });
        assert.equal(rows[0]?.failed, "much too large");
      });

      test("a body that does not fit its contract fails the transaction", async () => {
        await using db = await open();
        await assert.rejects(db.transaction(async (tx, outbox) => {
          await tx.insertInto("account").values(account("a")).execute();
          await outbox.publish(happened, { n: "one" } as never);
        }), (error) => isGantryError(error, "INVALID"));
        assert.deepEqual(await db.query.selectFrom("account").selectAll().execute(), []);
      });

      test("disposing the relay waits for the message being sent, and sends no more", async () => {
        await using db = await open();
        const { promise: gate, resolve: finish } = Promise.withResolvers<void>();
        const sent: number[] = [];
        const slow: OutboxTarget = {
          publish: async (_, body) => { await gate; sent.push((body as { n: number }).n); },
          send: async () => {},
        };
        const running = relay(db, slow);
        await db.transaction(async (_, outbox) => { for (let n = 0; n < 3; n++) await outbox.publish(happened, { n }); });
        const disposed = running[Symbol.asyncDispose]();
        finish();
        await disposed;
        assert.ok(sent.length <= 1);
        const { sent: rest, to } = target();
        await using _next = relay(db, to);
        await waitFor(() => rest.length + sent.length === 3);
      });
    });
  });
}
