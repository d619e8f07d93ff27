import { randomUUID } from "node:crypto";
import { fail, ownerOf, type BodyOf, type Contract } from "@gantry/contracts";
import { checkMessage } from "@gantry/contracts/validate";
import type { Clock } from "@gantry/kernel";
import { CompiledQuery, type Kysely } from "kysely";
import type { OutboxWriter } from "./port.ts";
import { activeTrace } from "./trace.ts";

/** Writes messages into the transaction's outbox; a body that does not fit its contract fails the transaction with INVALID, a full outbox with UNAVAILABLE. */
export class TransactionOutbox<S> implements OutboxWriter {
  readonly #tx: Kysely<S>;
  readonly #clock: Clock;
  readonly #insert: string;
  readonly #refusal: string | null;
  written = 0;

  constructor(tx: Kysely<S>, kind: "sqlite" | "postgres", clock: Clock, refusal: string | null) {
    this.#refusal = refusal;
    this.#tx = tx;
    this.#clock = clock;
    this.#insert = INSERT[kind];
  }

  async publish<C extends Contract<"event">>(contract: C, body: BodyOf<C>, options: { key?: string } = {}): Promise<void> {
    await this.#write("publish", contract, "events", body, options);
  }

  async send<C extends Contract<"command"> | Contract<"job">>(contract: C, body: BodyOf<C>, options: { node?: string; key?: string } = {}): Promise<void> {
    await this.#write("send", contract, destinationOf(contract, options.node), body, options);
  }

  async #write(kind: string, contract: Contract, destination: string, body: unknown, options: { node?: string; key?: string }): Promise<void> {
    checkMessage(contract, "body", body);
    if (this.#refusal !== null) throw fail("UNAVAILABLE", this.#refusal);
    this.written++;
    await this.#tx.executeQuery(CompiledQuery.raw(this.#insert, [
      kind, contract.name, destination, options.node ?? null, options.key ?? randomUUID(), JSON.stringify(body), this.#clock.now(), activeTrace(),
    ]));
  }
}

const COLUMNS = "kind, message, destination, node, key, body, created_at, trace";
const INSERT = {
  sqlite: `insert into gantry_outbox (${COLUMNS}) values (?, ?, ?, ?, ?, ?, ?, ?)`,
  postgres: `insert into gantry_outbox (${COLUMNS}) values ($1, $2, $3, $4, $5, $6, $7, $8)`,
};

function destinationOf(contract: Contract, node: string | undefined): string {
  if (contract.kind === "job") return contract.name;
  const owner = ownerOf(contract);
  if (owner !== "node") return owner;
  if (node === undefined) throw fail("INVALID", `${contract.name} goes to a node, and none is named`);
  return `node.${node}`;
}
