import { AsyncLocalStorage } from "node:async_hooks";
import { createHash } from "node:crypto";
import { fail } from "@gantry/contracts";
import { describeError, retry, silentLogger, systemClock } from "@gantry/kernel";
import { Kysely, PostgresDialect } from "kysely";
import pg from "pg";
import type { Engine } from "../engine.ts";
import { isConnectionFailure } from "../errors.ts";
import { migrate } from "../migrate.ts";
import type { OpenOptions } from "../open.ts";
import { ownMigrations } from "../tables.ts";
import { Outage } from "./outage.ts";
import { PatientDialect } from "./patient-driver.ts";

/** Longer than a restart takes, and shorter than callers wait. */
const PATIENCE_MS = 10_000;

/** Opens the service's schema; waits up to about half a minute for a server that is still starting. */
export async function openPostgres<S>(url: string, options: OpenOptions): Promise<Engine<S>> {
  const { logger = silentLogger, clock = systemClock } = options;
  const schema = options.service.replaceAll("-", "_");
  const config: pg.PoolConfig = {
    connectionString: url,
    max: options.maxConnections ?? 10,
    application_name: sessionName(options.service, options.instance),
    options: `-c search_path=${schema}`,
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    statement_timeout: 60_000,
    idle_in_transaction_session_timeout: 60_000,
    types: { getTypeParser: typeParser },
  };
  await retry(() => prepareSchema<S>(config, schema, options), {
    clock, attempts: 12, baseMs: 200, maxMs: 4_000, retryable: isConnectionFailure,
    onRetry: (error, attempt) => logger.warn({ attempt }, `waiting for the database: ${describeError(error)}`),
  });
  const pool = new pg.Pool(config);
  pool.on("error", (error) => logger.warn({ err: error }, `a database connection was lost: ${error.message}`));
  // A connection in use that breaks fails its statement, which tells of it; without a listener its event would end the process.
  pool.on("connect", (client) => client.on("error", () => {}));
  const outage = new Outage(clock, options.patienceMs ?? PATIENCE_MS);
  const query = new Kysely<S>({ dialect: new PatientDialect({ pool }, outage) });
  const current = new AsyncLocalStorage<{ open: boolean }>();
  const relayLock = lockNumber(`${schema}/outbox`);
  return {
    kind: "postgres",
    query,
    within: async (work) => {
      if (current.getStore()?.open === true) throw fail("INTERNAL", "a transaction within a transaction: use the transaction's `tx`");
      const mark = { open: true };
      try {
        return await current.run(mark, work);
      } finally {
        mark.open = false;
      }
    },
    exclusively: async (work) => {
      const client = await pool.connect();
      let broken: Error | undefined;
      try {
        const { rows } = await client.query<{ got: boolean }>("select pg_try_advisory_lock($1) as got", [relayLock]);
        if (rows[0]?.got !== true) return "busy";
        try {
          await work();
        } finally {
          await client.query("select pg_advisory_unlock($1)", [relayLock]).catch((error: Error) => { broken = error; });
        }
        return "done";
      } finally {
        // A connection that may still hold the lock must not go back to the pool.
        client.release(broken);
      }
    },
    endSessions: async (instance) => {
      await pool.query("select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1 and usename = current_user and pid <> pg_backend_pid()",
        [sessionName(options.service, instance)]);
    },
    worthAnother: (error, attempt) => outage.worthAnother(error, attempt),
    close: () => query.destroy(),
  };
}

/** Makes the schema and runs the migrations, one process at a time. */
async function prepareSchema<S>(config: pg.PoolConfig, schema: string, options: OpenOptions): Promise<void> {
  const client = new pg.Client(config);
  const pool = new pg.Pool({ ...config, max: 1 });
  const query = new Kysely<S>({ dialect: new PostgresDialect({ pool }) });
  try {
    await client.connect();
    await client.query("select pg_advisory_lock($1)", [lockNumber(`${schema}/migrate`)]);
    await client.query(`create schema if not exists ${pg.escapeIdentifier(schema)}`);
    await migrate(query, ownMigrations, "gantry_migration", schema);
    await migrate(query, options.migrations, "migration", schema);
  } finally {
    await query.destroy();
    await client.end();
  }
}

/** PostgreSQL keeps 63 bytes of it. */
function sessionName(service: string, instance: string | undefined): string {
  return instance === undefined ? `gantry-${service}` : `gantry-${service.slice(0, 30)}/${instance}`;
}

/** The number of an advisory lock, from its name. */
function lockNumber(name: string): string {
  return createHash("sha256").update(`gantry/${name}`).digest().readBigInt64BE(0).toString();
}

const INT8 = 20;
const JSON_TYPES = new Set([114, 3802]);

/**
 * Reads values as SQLite gives them: big integers as numbers, JSON as its text.
 * A whole number that a JavaScript number cannot hold is an error there, and here.
 */
function typeParser(oid: number, format?: "text" | "binary"): (value: string) => unknown {
  if (oid === INT8) return toSafeInteger;
  if (JSON_TYPES.has(oid)) return (text) => text;
  return pg.types.getTypeParser(oid, format as "text") as (value: string) => unknown;
}

function toSafeInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new RangeError(`${text} is too large for a number: keep it as text`);
  return value;
}
