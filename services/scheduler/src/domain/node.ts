import type { NodeDescription } from "@gantry/contracts";
import { humanDuration } from "./status-text.ts";

export type NodeState = "ready" | "unreachable";
/** `drain`: what is there stays, nothing new comes. */
export type Availability = "active" | "drain";

/** A node as the scheduler keeps it. Times are RFC 3339. */
export interface NodeRecord {
  readonly description: NodeDescription;
  readonly registeredAt: string;
  readonly state: NodeState;
  /** Since when it is in this state. */
  readonly since: string;
  readonly availability: Availability;
  /** Since when it has this availability; empty: ever. */
  readonly availableSince: string;
}

/** What the commands for an unreachable node are answered. Times in milliseconds. */
export function unreachableText(node: { nodeId: string; since: number }, now: number): string {
  const ago = humanDuration(Math.max(0, now - node.since)).toLowerCase();
  return `node ${node.nodeId} is unreachable since ${new Date(node.since).toISOString().slice(0, 19)}Z (${ago}): its containers run on, and cannot be reached until it is back`;
}
