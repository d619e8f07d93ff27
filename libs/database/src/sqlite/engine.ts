import { mkdirSync } from "node:fs";
import path from "node:path";
import { Kysely } from "kysely";
import type { Engine } from "../engine.ts";
import { migrate } from "../migrate.ts";
import type { DatabaseOptions } from "../port.ts";
import { ownMigrations } from "../tables.ts";
import { NodeSqliteDialect, NodeSqliteDriver } from "./dialect.ts";

/** `location`: a directory, in which the service's file is `<service>.sqlite`; or `:memory:`. */
export async function openSqlite<S>(location: string, options: DatabaseOptions): Promise<Engine<S>> {
  const file = location === ":memory:" ? location : path.join(path.resolve(location), `${options.service}.sqlite`);
  if (file !== ":memory:") mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  const driver = new NodeSqliteDriver(file);
  const query = new Kysely<S>({ dialect: new NodeSqliteDialect(driver) });
  try {
    const changed = [await migrate(query, ownMigrations, "gantry_migration"), await migrate(query, options.migrations, "migration")];
    if (changed.includes(true)) for (const connection of [driver.writer, driver.reader]) connection.forgetStatements();
  } catch (error) {
    await driver.destroy();
    throw error;
  }
  return {
    kind: "sqlite",
    query,
    within: (work) => driver.within(work),
    exclusively: async (work) => {
      await work();
      return "done";
    },
    worthAnother: async () => false,
    endSessions: async () => {},
    close: async () => {
      await query.destroy();
      await driver.destroy();
    },
  };
}
