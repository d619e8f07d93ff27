import type { BodyOf, Contract, ReplyOf } from "@gantry/contracts";
import { isGantryError, retry } from "@gantry/kernel";
import type { Backend } from "./backend.ts";

const TRIES = 5;
const ANSWER_MS = 4_000;

/** A query to an owner of which there are several: when the one that has it dies with it, another one is asked. */
export function ask<C extends Contract<"query">>({ bus, clock }: Pick<Backend, "bus" | "clock">, contract: C, body: BodyOf<C>): Promise<ReplyOf<C>> {
  return retry(() => bus.call(contract, body, { timeoutMs: ANSWER_MS }), {
    clock, attempts: TRIES, baseMs: 50, maxMs: 500, retryable: (e) => isGantryError(e, "TIMEOUT") || isGantryError(e, "UNAVAILABLE"),
  });
}
