import { formatConstraint, satisfies, type Constraint } from "./constraints.ts";
import { portsCollide, type Resources } from "./demand.ts";
import type { Availability } from "./node.ts";

/** What placement knows of a node. */
export interface Candidate {
  readonly nodeId: string;
  readonly hostname: string;
  readonly alive: boolean;
  /** RFC 3339; empty where it does not matter. */
  readonly since: string;
  readonly availability: Availability;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly labels: Readonly<Record<string, string>>;
  /** As in an image's config: `linux`, `amd64`. Empty: not told. */
  readonly os: string;
  readonly architecture: string;
  /** Containers that run there or are about to, and what is set aside for them. */
  readonly containers: number;
  readonly reserved: Resources;
  /** Published host ports with who has them. */
  readonly ports: readonly { port: string; container: string }[];
  readonly images: ReadonlySet<string>;
}

export interface Demand {
  /** What may be used at most: no node is chosen that has less. */
  readonly limits: Resources;
  /** What is set aside. */
  readonly reserve: Resources;
  /** Named volumes that exist already, and where; a container goes to its data. */
  readonly volumes: readonly { name: string; nodeId: string }[];
  /** Containers whose namespaces or volumes it shares: it must be on their node. */
  readonly withContainers: readonly { ref: string; nodeId: string }[];
  /** User networks that have containers already: a bridge network is one host's, and who is on it must find the others. */
  readonly networks: readonly { name: string; nodeId: string; container: string }[];
  readonly ports: readonly string[];
  readonly image: string;
  /** Null: any. */
  readonly platform: { readonly os: string; readonly architecture: string } | null;
  readonly constraints: readonly Constraint[];
}

export interface Score { readonly nodeId: string; readonly score: number; readonly parts: Readonly<Record<string, number>> }
export interface Rejection { readonly nodeId: string; readonly filter: string; readonly reason: string }
export interface Placement {
  readonly nodeId: string | null;
  readonly rejected: readonly Rejection[];
  /** Best first. */
  readonly scores: readonly Score[];
}

type Filter = (node: Candidate, demand: Demand) => string | null;

const elsewhere = <T extends { nodeId: string }>(node: Candidate, things: readonly T[]): T | undefined => things.find((thing) => thing.nodeId !== node.nodeId);

/** Each says why a node will not do, or null. The order is that of the reasons a user sees. */
const FILTERS: Readonly<Record<string, Filter>> = {
  unreachable: (node) => node.alive ? null : `is unreachable${node.since === "" ? "" : ` since ${node.since}`}`,
  drain: (node) => node.availability === "active" ? null : "is being drained",
  constraint: (node, { constraints }) => {
    const broken = constraints.find((constraint) => !constraint.soft && !satisfies(node, constraint));
    return broken === undefined ? null : `does not satisfy ${formatConstraint(broken)}`;
  },
  platform: (node, { platform }) => {
    if (platform === null || (fits(node.os, platform.os) && fits(node.architecture, platform.architecture))) return null;
    return `is ${node.os}/${node.architecture}, the image ${platform.os}/${platform.architecture}`;
  },
  sharing: (node, { withContainers }) => {
    const other = elsewhere(node, withContainers);
    return other === undefined ? null : `container ${other.ref} is on node ${other.nodeId}`;
  },
  volume: (node, { volumes }) => {
    const other = elsewhere(node, volumes);
    return other === undefined ? null : `volume ${other.name} is on node ${other.nodeId}`;
  },
  network: (node, { networks }) => {
    const other = elsewhere(node, networks);
    return other === undefined ? null : `network ${other.name} is on node ${other.nodeId}, with container ${other.container}`;
  },
  memory: (node, { limits, reserve }) => {
    if (limits.memoryBytes > node.memoryBytes) return `asks for ${limits.memoryBytes} bytes of memory, the node has ${node.memoryBytes}`;
    const free = node.memoryBytes - node.reserved.memoryBytes;
    return reserve.memoryBytes <= Math.max(0, free) ? null : `asks for ${reserve.memoryBytes} bytes of memory, ${Math.max(0, free)} of ${node.memoryBytes} are not set aside`;
  },
  cpu: (node, { limits, reserve }) => {
    if (limits.cpus > node.cpus) return `range of CPUs is from 0.01 to ${node.cpus}.00, as there are only ${node.cpus} CPUs available`;
    const free = Math.max(0, node.cpus - node.reserved.cpus);
    return reserve.cpus <= free + ROUNDING ? null : `asks for ${reserve.cpus} CPUs, ${round(free)} of ${node.cpus} are not set aside`;
  },
};

/** Of sums of hundredths of CPUs. */
const ROUNDING = 1e-6;
const round = (value: number) => Math.round(value * 1000) / 1000;

const fits = (has: string, wants: string) => has === "" || wants === "" || has === wants;

/**
 * One container more on the smallest of the nodes costs 1, on one with twice the CPUs half of that: so containers are spread by size.
 * The rest decides between nodes that are as full: what is free, and whether the image is there. A port that another container has
 * is worse than all of that; it is no rejection, for the other one may be about to go, and the start will tell.
 */
function score(node: Candidate, demand: Demand, smallest: number): Score {
  const free = (total: number, taken: number) => total <= 0 ? 0 : Math.max(0, (total - taken) / total);
  const parts = {
    spread: -(node.containers + 1) * smallest / Math.max(1, node.cpus),
    memory: 0.3 * free(node.memoryBytes, node.reserved.memoryBytes + demand.reserve.memoryBytes),
    cpu: 0.3 * free(node.cpus, node.reserved.cpus + demand.reserve.cpus),
    image: node.images.has(demand.image) ? 0.2 : 0,
    ports: demand.ports.some((port) => node.ports.some((taken) => portsCollide(taken.port, port))) ? -10_000 : 0,
    constraint: -1_000 * demand.constraints.filter((constraint) => constraint.soft && !satisfies(node, constraint)).length,
  };
  const shown = Object.fromEntries(Object.entries(parts).map(([name, value]) => [name, round(value) + 0]));
  return { nodeId: node.nodeId, score: round(Object.values(parts).reduce((sum, part) => sum + part, 0)), parts: shown };
}

/** Filter, then score; ties go to the smaller node ID. Every rejection and every score is in the answer; the order of the nodes does not matter. */
export function place(nodes: readonly Candidate[], demand: Demand): Placement {
  const rejected: Rejection[] = [];
  const fitting: Candidate[] = [];
  for (const node of nodes) {
    const rejection = reject(node, demand);
    if (rejection === null) fitting.push(node);
    else rejected.push(rejection);
  }
  const smallest = Math.min(...fitting.map((node) => Math.max(1, node.cpus)));
  const byId = (a: { nodeId: string }, b: { nodeId: string }) => (a.nodeId < b.nodeId ? -1 : 1);
  const scores = fitting.map((node) => score(node, demand, smallest)).sort((a, b) => b.score - a.score || byId(a, b));
  return { nodeId: scores[0]?.nodeId ?? null, rejected: rejected.sort(byId), scores };
}

function reject(node: Candidate, demand: Demand): Rejection | null {
  for (const [filter, check] of Object.entries(FILTERS)) {
    const reason = check(node, demand);
    if (reason !== null) return { nodeId: node.nodeId, filter, reason };
  }
  return null;
}
