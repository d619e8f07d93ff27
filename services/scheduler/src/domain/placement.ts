/** What placement knows of a node. Bytes and CPUs: `free` is what no container has asked for yet. */
export interface Candidate {
  readonly nodeId: string;
  readonly alive: boolean;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly containers: number;
  readonly reservedMemory: number;
  readonly reservedCpus: number;
  /** Published host ports, as `0.0.0.0:80/tcp`. */
  readonly ports: ReadonlySet<string>;
  readonly images: ReadonlySet<string>;
}

export interface Demand {
  readonly memoryBytes: number;
  readonly cpus: number;
  /** Named volumes that exist already, and where; a container goes to its data. */
  readonly volumes: readonly { name: string; nodeId: string }[];
  /** Containers whose namespaces or volumes it shares: it must be on their node. */
  readonly withContainers: readonly { ref: string; nodeId: string }[];
  readonly ports: readonly string[];
  readonly image: string;
  /** `node.labels.x==y`, `node.labels.x!=y`, `node.id==n`. */
  readonly constraints: readonly string[];
}

export interface Score { readonly nodeId: string; readonly score: number; readonly parts: Readonly<Record<string, number>> }
export interface Placement {
  readonly nodeId: string | null;
  readonly rejected: readonly { nodeId: string; filter: string; reason: string }[];
  readonly scores: readonly Score[];
}

type Filter = (node: Candidate, demand: Demand) => string | null;

/** Each says why a node will not do, or null. The order is that of the reasons a user sees. */
const FILTERS: Readonly<Record<string, Filter>> = {
  alive: (node) => node.alive ? null : "the node is down",
  constraint: (node, demand) => {
    const broken = demand.constraints.find((constraint) => !satisfies(node, constraint));
    return broken === undefined ? null : `does not satisfy ${broken}`;
  },
  sharing: (node, demand) => {
    const other = demand.withContainers.find((c) => c.nodeId !== node.nodeId);
    return other === undefined ? null : `container ${other.ref} is on node ${other.nodeId}`;
  },
  volume: (node, demand) => {
    const other = demand.volumes.find((v) => v.nodeId !== node.nodeId);
    return other === undefined ? null : `volume ${other.name} is on node ${other.nodeId}`;
  },
  memory: (node, demand) => demand.memoryBytes <= node.memoryBytes ? null
    : `asks for ${demand.memoryBytes} bytes of memory, the node has ${node.memoryBytes}`,
  cpu: (node, demand) => demand.cpus <= node.cpus ? null
    : `range of CPUs is from 0.01 to ${node.cpus}.00, as there are only ${node.cpus} CPUs available`,
};

export function satisfies(node: Candidate, constraint: string): boolean {
  const match = /^\s*(node\.id|node\.labels\.([\w.-]+))\s*(==|!=)\s*(.*?)\s*$/.exec(constraint);
  if (!match) return false;
  const actual = match[2] === undefined ? node.nodeId : node.labels[match[2]];
  return match[3] === "==" ? actual === match[4] : actual !== match[4];
}

/** Each from 0 to 1, times its weight. */
function score(node: Candidate, demand: Demand): Score {
  const free = (total: number, taken: number) => total <= 0 ? 0 : Math.max(0, (total - taken) / total);
  const parts = {
    image: node.images.has(demand.image) ? 3 : 0,
    memory: 2 * free(node.memoryBytes, node.reservedMemory + demand.memoryBytes),
    cpu: 2 * free(node.cpus, node.reservedCpus + demand.cpus),
    spread: 2 / (1 + node.containers),
    ports: demand.ports.some((port) => node.ports.has(port)) ? 0 : 4,
  };
  return { nodeId: node.nodeId, score: Object.values(parts).reduce((sum, part) => sum + part, 0), parts };
}

/** Filter, then score; ties go to the smaller node ID. Every rejection and every score is in the answer. */
export function place(nodes: readonly Candidate[], demand: Demand): Placement {
  const rejected: { nodeId: string; filter: string; reason: string }[] = [];
  const scores: Score[] = [];
  for (const node of nodes) {
    const verdict = Object.entries(FILTERS).map(([filter, check]) => ({ filter, reason: check(node, demand) })).find((v) => v.reason !== null);
    if (verdict) rejected.push({ nodeId: node.nodeId, filter: verdict.filter, reason: verdict.reason! });
    else scores.push(score(node, demand));
  }
  scores.sort((a, b) => b.score - a.score || (a.nodeId < b.nodeId ? -1 : 1));
  return { nodeId: scores[0]?.nodeId ?? null, rejected, scores };
}
