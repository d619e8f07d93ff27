import { nodeContainerNotice, nodeContainerReport } from "./container.ts";
import { allContracts, ownerOf, type Contract, type MessageKind } from "./message.ts";

/** Owners of whose consumers one at a time is active; every node's agent is alone with its queue. Others compete. */
export const SINGLE_ACTIVE_OWNERS: ReadonlySet<string> = new Set(["scheduler", "node"]);

/** Groups of subscribers, with the events that are kept for them, in order, while none of them is there. */
export const EVENT_GROUPS: Readonly<Record<string, readonly Contract<"event">[]>> = {
  scheduler: [nodeContainerReport, nodeContainerNotice],
};

/** Owners of which there are several, each with a queue of its own: `node.<id>`, `worker.<name>`. */
export const ADDRESSED_OWNERS: ReadonlySet<string> = new Set(["node", "worker"]);

/** The owners of commands, in the order of their names. */
export function commandOwners(): string[] {
  return ownersOf("command");
}

/** Whether an owner (`node`, not `node.<id>`) answers queries and has no commands: it needs no queue that keeps them. */
export function hasQueriesOnly(owner: string): boolean {
  return ownersOf("query").includes(owner) && !ownersOf("command").includes(owner);
}

function ownersOf(kind: MessageKind): string[] {
  return [...new Set([...allContracts().values()].filter((contract) => contract.kind === kind).map(ownerOf))].toSorted();
}
