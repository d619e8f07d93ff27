import { fail } from "@gantry/contracts";
import { silentLogger, systemClock, type Clock, type Logger } from "@gantry/kernel";
import { EngineDatabase, type Engine } from "./engine.ts";
import type { Database, DatabaseOptions } from "./port.ts";
import { openSqlite } from "./sqlite/engine.ts";

export interface OpenOptions extends DatabaseOptions {
  readonly clock?: Clock;
  readonly logger?: Logger;
  /** Tells this process from others of the same service: 1 to 24 letters, digits and hyphens. See `endSessions`. */
  readonly instance?: string;
  /** PostgreSQL connections at most; default 10. */
  readonly maxConnections?: number;
  /** How long what is safe to do again waits for a PostgreSQL that went away, before it is UNAVAILABLE; default 10 s. */
  readonly patienceMs?: number;
}

/**
 * Opens a service's database, with its migrations run:
 * - `sqlite:/directory` the file `<service>.sqlite` in it (made if missing); `sqlite::memory:` for tests;
 * - `postgres://user:password@host:port/database` the schema named as the service, `-` as `_` (made if missing).
 */
export async function openDatabase<S>(url: string, options: OpenOptions): Promise<Database<S>> {
  if (!/^[a-z][a-z0-9_-]{0,40}$/.test(options.service)) throw fail("INVALID", `database: ${JSON.stringify(options.service)} cannot be a file and schema name`);
  return new EngineDatabase(await openEngine<S>(url, options), { service: options.service, clock: options.clock ?? systemClock, logger: options.logger ?? silentLogger });
}

async function openEngine<S>(url: string, options: OpenOptions): Promise<Engine<S>> {
  if (url.startsWith("sqlite:")) return await openSqlite<S>(url.slice("sqlite:".length), options);
  if (!/^postgres(ql)?:\/\//.test(url)) throw fail("INVALID", "database: the URL starts with neither sqlite: nor postgres://");
  // Loaded when it is used: a plain start has no need of the driver.
  const { openPostgres } = await import("./postgres/engine.ts");
  return await openPostgres<S>(url, options);
}
