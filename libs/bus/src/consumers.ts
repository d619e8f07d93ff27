import { ADDRESSED_OWNERS, EVENT_GROUPS, SINGLE_ACTIVE_OWNERS, fail } from "@gantry/contracts";
import type { GantryError } from "@gantry/kernel";
import type { QueueLimit } from "./limits.ts";

/** `node.<id>` → `node`, `worker.<name>` → `worker`; any other owner is its own family. */
export function familyOf(owner: string): string {
  const dot = owner.indexOf(".");
  return dot > 0 && ADDRESSED_OWNERS.has(owner.slice(0, dot)) ? owner.slice(0, dot) : owner;
}

/** Whether the consumers of an owner take turns: as asked, and where the contracts say so in any case. */
export function singleActive(owner: string, asked: boolean = false): boolean {
  return asked || SINGLE_ACTIVE_OWNERS.has(familyOf(owner));
}

/** INVALID where a group that the contracts know asks for other events than they say. */
export function checkGroup(group: string, events: readonly string[]): void {
  const known = EVENT_GROUPS[group]?.map((event) => event.name);
  if (known === undefined) return;
  if (known.toSorted().join() !== events.toSorted().join()) throw fail("INVALID", `the group ${group} takes ${known.join(", ")} (contracts: EVENT_GROUPS), not ${events.join(", ")}`);
}

/** What a sender is told whose message was refused. `what`: `scheduler commands`, `build.job.run.v1 jobs`, `the group scheduler`. */
export function queueFull(what: string, { messages, bytes }: QueueLimit): GantryError {
  return fail("QUEUE_FULL", `the queue of ${what} is full (${messages} messages, or ${bytes / 1024 / 1024} MiB): try again later`);
}
