import type { Static, TSchema } from "typebox";

/**
 * - `command`: one owner; confirmed, idempotent by key, survives restarts; may have a reply.
 * - `query`: request and reply; may time out; not kept.
 * - `event`: something happened; topic; to every subscriber.
 * - `job`: work queue with competing consumers.
 */
export type MessageKind = "command" | "query" | "event" | "job";

/**
 * A message contract: `<owner>.<noun>.<verb>.v<N>`. Commands and queries of a service are consumed from the queue
 * named by the first segment (`scheduler`, `image-store`, `build`), those of `node` from `node.<node id>`.
 */
export interface Contract<K extends MessageKind = MessageKind, Body = unknown, Reply = unknown> {
  readonly kind: K;
  readonly name: string;
  readonly body: TSchema;
  readonly reply: TSchema;
  /** Never there: carries the types. Worked out once for each contract; `Static` of a schema not yet known costs the compiler millions of types. */
  readonly types?: { readonly body: Body; readonly reply: Reply };
}

export type BodyOf<C extends Contract> = NonNullable<C["types"]>["body"];
export type ReplyOf<C extends Contract> = NonNullable<C["types"]>["reply"];

const registry = new Map<string, Contract>();

function define<K extends MessageKind, B extends TSchema, R extends TSchema>(kind: K, name: string, body: B, reply: R): Contract<K, Static<B>, Static<R>> {
  if (!/^[a-z][a-z-]*(\.[a-z][a-z-]*)+\.v[1-9][0-9]*$/.test(name)) throw new Error(`message name ${name} is not <owner>.<noun>.<verb>.v<N>`);
  if (registry.has(name)) throw new Error(`message ${name} is defined twice`);
  const contract = { kind, name, body, reply };
  registry.set(name, contract);
  return contract;
}

export const command = <B extends TSchema, R extends TSchema>(name: string, body: B, reply: R) => define("command", name, body, reply);
export const query = <B extends TSchema, R extends TSchema>(name: string, body: B, reply: R) => define("query", name, body, reply);
export const event = <B extends TSchema>(name: string, body: B) => define("event", name, body, body);
export const job = <B extends TSchema>(name: string, body: B) => define("job", name, body, body);

/** Every contract defined so far, by name: for golden schemas, OpenAPI and topology. */
export function allContracts(): ReadonlyMap<string, Contract> {
  return registry;
}

/** The service that owns a message: its first segment. */
export function ownerOf(contract: Contract): string {
  return contract.name.slice(0, contract.name.indexOf("."));
}
