import { randomUUID } from "node:crypto";
import { ADDRESSED_OWNERS, fail, ownerOf, type Contract } from "@gantry/contracts";

/** A message on its way. `headers` carry W3C trace context and nothing else. */
export interface Message {
  readonly id: string;
  /** The contract's name. */
  readonly name: string;
  /** JSON. */
  readonly body: string;
  readonly headers: Record<string, string>;
}

export function newMessageId(): string {
  return randomUUID();
}

/** A key travels as an AMQP short string. */
export function checkKey(key: string | undefined): string {
  if (key === undefined) return newMessageId();
  if (key === "" || Buffer.byteLength(key) > 255) throw fail("INVALID", "an idempotency key is 1 to 255 bytes long");
  return key;
}

/** Where commands and queries of a contract go: the owner's queue, for `node.*` and `worker.*` that of the one named. */
export function queueOf(contract: Contract, node: string | undefined): string {
  const owner = ownerOf(contract);
  if (!ADDRESSED_OWNERS.has(owner)) return owner;
  if (node === undefined) throw fail("INVALID", `${contract.name} goes to one ${owner}, and none is named`);
  return `${owner}.${node}`;
}
