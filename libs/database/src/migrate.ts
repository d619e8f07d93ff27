import { fail } from "@gantry/contracts";
import { describeError } from "@gantry/kernel";
import { sql, type Kysely } from "kysely";
import { Migrator, type Migration } from "kysely/migration";

/**
 * Brings a set of migrations, kept in a table of its own, to the latest. INTERNAL when one fails, or the database is newer.
 * `schema`: where that table is; without it a table of the same name in another schema would be taken for it.
 */
export async function migrate<S>(db: Kysely<S>, migrations: Readonly<Record<string, Migration>>, table: string, schema?: string): Promise<boolean> {
  if (await isLatest(db, Object.keys(migrations), table)) return false;
  const migrator = new Migrator({
    db, provider: { getMigrations: async () => ({ ...migrations }) },
    migrationTableName: table, migrationLockTableName: `${table}_lock`, ...(schema === undefined ? {} : { migrationTableSchema: schema }),
  });
  const { error, results = [] } = await migrator.migrateToLatest();
  if (error !== undefined) {
    const failed = results.find((result) => result.status === "Error")?.migrationName;
    throw fail("INTERNAL", `database migration${failed === undefined ? "" : ` ${failed}`} failed: ${describeError(error)}`, { cause: error });
  }
  return true;
}

/** Whether exactly these migrations were run: what nearly every start finds, by one statement. */
async function isLatest<S>(db: Kysely<S>, names: readonly string[], table: string): Promise<boolean> {
  try {
    const { rows } = await sql<{ name: string }>`select name from ${sql.table(table)}`.execute(db);
    const run = new Set(rows.map((row) => row.name));
    return run.size === names.length && names.every((name) => run.has(name));
  } catch {
    // No such table yet: the Migrator makes it, or meets the same trouble and reports it.
    return false;
  }
}
