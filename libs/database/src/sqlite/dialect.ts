import { AsyncLocalStorage } from "node:async_hooks";
import { fail } from "@gantry/contracts";
import { backoffMs, systemClock } from "@gantry/kernel";
import {
  SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler, type CompiledQuery, type DatabaseConnection, type DatabaseIntrospector,
  type Dialect, type DialectAdapter, type Driver, type Kysely, type QueryCompiler, type QueryResult,
} from "kysely";
import { Mutex } from "../mutex.ts";
import { isBusy, SqliteConnection, type SqliteResult } from "./connection.ts";

/**
 * Kysely's dialect for node:sqlite. One connection writes, for one transaction or statement at a time; another reads what is
 * committed, without waiting for the writer (WAL). In memory there is one connection for both.
 */
export class NodeSqliteDialect implements Dialect {
  readonly #driver: NodeSqliteDriver;

  constructor(driver: NodeSqliteDriver) {
    this.#driver = driver;
  }

  createDriver(): Driver { return this.#driver; }
  createQueryCompiler(): QueryCompiler { return new SqliteQueryCompiler(); }
  createAdapter(): DialectAdapter { return new Adapter(); }
  createIntrospector(db: Kysely<unknown>): DatabaseIntrospector { return new SqliteIntrospector(db); }
}

class Adapter extends SqliteAdapter {
  /** The driver serializes writers itself; Kysely's own lock would make readers wait too. */
  override get supportsMultipleConnections(): boolean { return true; }
  override get supportsTransactionalDdl(): boolean { return true; }
}

const BUSY_TIMEOUT_MS = 10_000;

/** What a transaction's asynchronous work can see, so that it does not wait for itself. */
interface OpenTransaction { readonly driver: NodeSqliteDriver; open: boolean }
const current = new AsyncLocalStorage<OpenTransaction>();

export class NodeSqliteDriver implements Driver {
  readonly writer: SqliteConnection;
  readonly reader: SqliteConnection;
  readonly #lock = new Mutex();

  /** `path`: an absolute path, or `:memory:`. */
  constructor(path: string) {
    this.writer = new SqliteConnection(path, false);
    this.reader = path === ":memory:" ? this.writer : new SqliteConnection(path, true);
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<Session> {
    return new Session(this);
  }

  async beginTransaction(session: DatabaseConnection): Promise<void> {
    await this.lock();
    try {
      await this.whenFree(() => this.writer.execute("begin immediate", []));
      (session as Session).holdsWriter = true;
    } catch (error) {
      this.unlock();
      throw error;
    }
  }

  async commitTransaction(session: DatabaseConnection): Promise<void> {
    this.writer.execute("commit", []);
    this.#letGo(session as Session);
  }

  async rollbackTransaction(session: DatabaseConnection): Promise<void> {
    try {
      // A full disk and some other errors have rolled it back already.
      if (this.writer.inTransaction) this.writer.execute("rollback", []);
    } finally {
      this.#letGo(session as Session);
    }
  }

  async savepoint(_session: DatabaseConnection, name: string): Promise<void> { this.writer.exec(`savepoint "${name}"`); }
  async rollbackToSavepoint(_session: DatabaseConnection, name: string): Promise<void> { this.writer.exec(`rollback to "${name}"`); }
  async releaseSavepoint(_session: DatabaseConnection, name: string): Promise<void> { this.writer.exec(`release "${name}"`); }

  async releaseConnection(session: DatabaseConnection): Promise<void> {
    if ((session as Session).holdsWriter) await this.rollbackTransaction(session);
  }

  async destroy(): Promise<void> {
    await this.#lock.acquire();
    this.#lock.release();
    this.reader.close();
    this.writer.close();
  }

  /** Marks the work as within a transaction of this driver. */
  async within<T>(work: () => Promise<T>): Promise<T> {
    this.checkNotWithin();
    const mark: OpenTransaction = { driver: this, open: true };
    try {
      return await current.run(mark, work);
    } finally {
      mark.open = false;
    }
  }

  checkNotWithin(): void {
    const mark = current.getStore();
    if (mark?.open === true && mark.driver === this) throw fail("INTERNAL", "a statement outside of the transaction it is part of would wait for itself: use the transaction's `tx`");
  }

  /** Does the work as soon as no other process is writing; fails as SQLite does after ten seconds. */
  async whenFree<T>(work: () => T): Promise<T> {
    const deadline = performance.now() + BUSY_TIMEOUT_MS;
    for (let attempt = 1; ; attempt++) {
      try {
        return work();
      } catch (error) {
        if (!isBusy(error) || performance.now() > deadline) throw error;
        await systemClock.sleep(backoffMs(attempt, Math.random, { baseMs: 2, maxMs: 50 }));
      }
    }
  }

  /** True if the writer was free. */
  tryLock(): boolean { return this.#lock.tryAcquire(); }
  async lock(): Promise<void> { await this.#lock.acquire(); }
  unlock(): void { this.#lock.release(); }

  #letGo(session: Session): void {
    if (!session.holdsWriter) return;
    session.holdsWriter = false;
    this.unlock();
  }
}

/** A user of the two connections: holds nothing unless it is in a transaction. */
class Session implements DatabaseConnection {
  readonly #driver: NodeSqliteDriver;
  holdsWriter = false;

  constructor(driver: NodeSqliteDriver) {
    this.#driver = driver;
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    const { writer, reader } = this.#driver;
    if (this.holdsWriter) return toResult(writer.execute(query.sql, query.parameters));
    if (query.query.kind === "SelectQueryNode" && reader !== writer) return toResult(reader.execute(query.sql, query.parameters));
    if (!this.#driver.tryLock()) {
      this.#driver.checkNotWithin();
      await this.#driver.lock();
    }
    try {
      return toResult(await this.#driver.whenFree(() => writer.execute(query.sql, query.parameters)));
    } finally {
      this.#driver.unlock();
    }
  }

  async *streamQuery<R>(query: CompiledQuery, chunkSize: number): AsyncIterableIterator<QueryResult<R>> {
    const { writer, reader } = this.#driver;
    let rows: R[] = [];
    for (const row of (this.holdsWriter ? writer : reader).iterate(query.sql, query.parameters)) {
      rows.push(row as R);
      if (rows.length < chunkSize) continue;
      yield { rows };
      rows = [];
    }
    if (rows.length > 0) yield { rows };
  }
}

function toResult<R>(result: SqliteResult): QueryResult<R> {
  return { rows: result.rows as R[], numAffectedRows: BigInt(result.changes), insertId: BigInt(result.insertId) };
}
