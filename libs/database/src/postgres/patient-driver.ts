import { fail } from "@gantry/contracts";
import { PostgresDialect } from "kysely";
import type { AbortableOperationOptions, CompiledQuery, DatabaseConnection, Driver, PostgresDialectConfig, QueryCompiler, QueryResult, TransactionSettings } from "kysely";
import { unavailable, type Outage } from "./outage.ts";

/**
 * Kysely's PostgreSQL, over restarts of the server: connecting, and reading outside of a transaction, wait and are done again; what may
 * have changed something is not. A server that is away is UNAVAILABLE in any statement.
 */
export class PatientDialect extends PostgresDialect {
  readonly #outage: Outage;

  constructor(config: PostgresDialectConfig, outage: Outage) {
    super(config);
    this.#outage = outage;
  }

  override createDriver(): Driver {
    return new PatientDriver(super.createDriver(), this.#outage);
  }
}

class PatientDriver implements Driver {
  readonly #driver: Driver;
  readonly #outage: Outage;

  constructor(driver: Driver, outage: Outage) {
    this.#driver = driver;
    this.#outage = outage;
  }

  init(options?: AbortableOperationOptions): Promise<void> { return this.#driver.init(options); }
  destroy(options?: AbortableOperationOptions): Promise<void> { return this.#driver.destroy(options); }

  async acquireConnection(options?: AbortableOperationOptions): Promise<PatientConnection> {
    return new PatientConnection(await this.#connect(options), this.#outage, { release: (broken) => this.#driver.releaseConnection(broken), connect: () => this.#connect() });
  }

  async #connect(options?: AbortableOperationOptions): Promise<DatabaseConnection> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#driver.acquireConnection(options);
      } catch (error) {
        if (!await this.#outage.worthAnother(error, attempt)) throw unavailable(error);
      }
    }
  }

  async releaseConnection(connection: DatabaseConnection, options?: AbortableOperationOptions): Promise<void> {
    const { inner } = connection as PatientConnection;
    if (inner !== null) await this.#driver.releaseConnection(inner, options);
  }

  async beginTransaction(connection: DatabaseConnection, settings: TransactionSettings): Promise<void> {
    (connection as PatientConnection).inTransaction = true;
    await plainly(() => this.#driver.beginTransaction(innerOf(connection), settings));
  }

  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    await plainly(() => this.#driver.commitTransaction(innerOf(connection)));
    this.#outage.over();
  }

  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    await plainly(() => this.#driver.rollbackTransaction(innerOf(connection)));
  }

  async savepoint(connection: DatabaseConnection, name: string, compileQuery: QueryCompiler["compileQuery"]): Promise<void> {
    await plainly(async () => this.#driver.savepoint?.(innerOf(connection), name, compileQuery));
  }

  async rollbackToSavepoint(connection: DatabaseConnection, name: string, compileQuery: QueryCompiler["compileQuery"]): Promise<void> {
    await plainly(async () => this.#driver.rollbackToSavepoint?.(innerOf(connection), name, compileQuery));
  }

  async releaseSavepoint(connection: DatabaseConnection, name: string, compileQuery: QueryCompiler["compileQuery"]): Promise<void> {
    await plainly(async () => this.#driver.releaseSavepoint?.(innerOf(connection), name, compileQuery));
  }
}

interface Supply { readonly release: (broken: DatabaseConnection) => Promise<void>; readonly connect: () => Promise<DatabaseConnection> }

/** A connection that another one takes the place of when it breaks while it only reads. */
class PatientConnection implements DatabaseConnection {
  /** Null once it broke and none took its place. */
  inner: DatabaseConnection | null;
  inTransaction = false;
  readonly #outage: Outage;
  readonly #supply: Supply;

  constructor(inner: DatabaseConnection, outage: Outage, supply: Supply) {
    this.inner = inner;
    this.#outage = outage;
    this.#supply = supply;
  }

  async executeQuery<R>(query: CompiledQuery, options?: AbortableOperationOptions): Promise<QueryResult<R>> {
    for (let attempt = 1; ; attempt++) {
      try {
        const result = await innerOf(this).executeQuery<R>(query, options);
        if (!this.inTransaction) this.#outage.over();
        return result;
      } catch (error) {
        if (this.inTransaction || !onlyReads(query) || !await this.#outage.worthAnother(error, attempt)) throw unavailable(error);
        const broken = innerOf(this);
        this.inner = null;
        await this.#supply.release(broken);
        this.inner = await this.#supply.connect();
      }
    }
  }

  streamQuery<R>(query: CompiledQuery, chunkSize: number, options?: AbortableOperationOptions): AsyncIterableIterator<QueryResult<R>> {
    return innerOf(this).streamQuery<R>(query, chunkSize, options);
  }
}

function onlyReads({ query }: CompiledQuery): boolean {
  return query.kind === "SelectQueryNode" && query.with === undefined;
}

function innerOf(connection: DatabaseConnection): DatabaseConnection {
  const { inner } = connection as PatientConnection;
  if (inner === null) throw fail("UNAVAILABLE", "the connection to the database was lost: try again later");
  return inner;
}

async function plainly(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    throw unavailable(error);
  }
}
