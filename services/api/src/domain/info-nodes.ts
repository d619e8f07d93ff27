import type { NodeView } from "@gantry/contracts";
import { nodeState } from "./node-state.ts";

const wordOf = (node: NodeView) => nodeState({ ...node, ready: node.state === "ready", availableSince: "" }).word;
const gib = (bytes: number) => `${(bytes / 2 ** 30).toFixed(2)}GiB`;
const seconds = (time: string) => `${time.slice(0, 19)}Z`;

/** A line for all nodes and one for each, as name and text. */
export function nodeLines(nodes: readonly NodeView[]): [name: string, text: string][] {
  const counts = (["ready", "drained", "unreachable"] as const).flatMap((word) => {
    const count = nodes.filter((node) => wordOf(node) === word).length;
    return count === 0 ? [] : [`${count} ${word}`];
  });
  return [["Nodes", nodes.length === 0 ? "0" : `${nodes.length} (${counts.join(", ")})`], ...nodes.map((node): [string, string] => [` ${node.id}`, nodeText(node)])];
}

function nodeText(node: NodeView): string {
  const { capacity, reserved, containers, address } = node;
  const word = wordOf(node);
  return [
    word === "unreachable" ? `unreachable since ${seconds(node.since)}` : word,
    ...(/^https?:/.test(address) ? [new URL(address).hostname] : []),
    `${containers.running} of ${containers.total} containers running`,
    `${reserved.cpus} of ${capacity.cpus} CPUs and ${gib(reserved.memoryBytes)} of ${gib(capacity.memoryBytes)} reserved`,
  ].join(", ");
}

export function nodeWarnings(nodes: readonly NodeView[]): string[] {
  return nodes.filter((node) => node.state === "unreachable")
    .map((node) => `WARNING: node ${node.id} is unreachable since ${seconds(node.since)}: its containers run on, and cannot be reached until it is back`);
}
