import type { Database, OutboxWriter } from "@gantry/database";
import type { Kysely } from "kysely";
import type { SchedulerTables } from "./store/schema.ts";

class Superseded extends Error {}

/**
 * The epoch of this scheduler. The broker lets one scheduler be active at a time, which is fail-over and not mutual exclusion:
 * so every write checks the epoch in its own transaction, and every command to a node carries it. Whoever finds another epoch
 * than its own takes the next one, and repeats what it was doing.
 */
export class Leadership {
  readonly #database: Database<SchedulerTables>;
  #epoch = 0;
  #claiming: Promise<void> | null = null;

  constructor(database: Database<SchedulerTables>) {
    this.#database = database;
  }

  get epoch(): number {
    return this.#epoch;
  }

  async claim(): Promise<void> {
    this.#claiming ??= this.#database.transaction(async (tx) => {
      const row = await tx.selectFrom("leadership").select("epoch").where("id", "=", 1).executeTakeFirst();
      const next = Number(row?.epoch ?? 0) + 1;
      if (row) await tx.updateTable("leadership").set({ epoch: next }).where("id", "=", 1).execute();
      else await tx.insertInto("leadership").values({ id: 1, epoch: next }).execute();
      this.#epoch = next;
    }).finally(() => { this.#claiming = null; });
    await this.#claiming;
  }

  /** A transaction of the active scheduler. `work` may run twice and must have no effect outside of it. */
  async transaction<T>(work: (tx: Kysely<SchedulerTables>, outbox: OutboxWriter) => Promise<T>): Promise<T> {
    const fenced = () => this.#database.transaction(async (tx, outbox) => {
      const row = await tx.selectFrom("leadership").select("epoch").where("id", "=", 1).executeTakeFirst();
      if (Number(row?.epoch ?? 0) !== this.#epoch) throw new Superseded("another scheduler was active meanwhile");
      return work(tx, outbox);
    });
    try {
      return await fenced();
    } catch (e) {
      if (!(e instanceof Superseded)) throw e;
      await this.claim();
      return fenced();
    }
  }
}
