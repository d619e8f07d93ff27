import assert from "node:assert/strict";
import { statSync } from "node:fs";
import path from "node:path";
import test from "node:test";
import { isGantryError } from "@gantry/kernel";
import { tempDir } from "@gantry/testkit";
import { databaseContractSuite, migrations, type Tables } from "../contract-suite.ts";
import { openDatabase } from "../open.ts";

databaseContractSuite("SQLite", async () => {
  const scope = new DisposableStack();
  const dir = tempDir(scope);
  return {
    open: (service, options) => openDatabase<Tables>(`sqlite:${dir}`, { service, ...options }),
    async [Symbol.asyncDispose]() { scope.dispose(); },
  };
});

const account = (name: string) => ({ name, balance: 0, notes: null, picture: null, open: 1 });

test("the file is made in the directory, for its owner only", async () => {
  using scope = new DisposableStack();
  const dir = path.join(tempDir(scope), "db");
  await using db = await openDatabase<Tables>(`sqlite:${dir}`, { service: "image-store", migrations });
  assert.equal(statSync(dir).mode & 0o777, 0o700);
  assert.ok(statSync(path.join(dir, "image-store.sqlite")).isFile());
  const { rows } = await (await import("kysely")).sql<{ journal_mode: string }>`pragma journal_mode`.execute(db.query);
  assert.deepEqual(rows, [{ journal_mode: "wal" }]);
});

test("in memory, and by a bad URL", async () => {
  await using db = await openDatabase<Tables>("sqlite::memory:", { service: "x", migrations });
  await db.transaction(async (tx) => { await tx.insertInto("account").values(account("a")).execute(); });
  assert.equal((await db.query.selectFrom("account").selectAll().execute()).length, 1);
  await assert.rejects(openDatabase("mysql://x", { service: "x", migrations }), (error) => isGantryError(error, "INVALID"));
  await assert.rejects(openDatabase("sqlite::memory:", { service: "../x", migrations }), (error) => isGantryError(error, "INVALID"));
});

test("a write beside the transaction it is part of is refused rather than waited for", async () => {
  await using db = await openDatabase<Tables>("sqlite::memory:", { service: "x", migrations });
  await assert.rejects(
    db.transaction(async () => { await db.query.insertInto("account").values(account("a")).execute(); }),
    (error) => isGantryError(error, "INTERNAL") && /tx/.test(error.message));
  await db.query.insertInto("account").values(account("b")).execute();
});

test("foreign keys hold", async () => {
  await using db = await openDatabase<Tables & { child: { parent: number } }>("sqlite::memory:", {
    service: "x",
    migrations: { ...migrations, "0002-child": { up: async (tx) => { await tx.schema.createTable("child").addColumn("parent", "integer", (column) => column.references("account.id")).execute(); } } },
  });
  await assert.rejects(db.query.insertInto("child").values({ parent: 99 }).execute(), /FOREIGN KEY/);
});
