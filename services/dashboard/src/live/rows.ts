/** What `GET /v1/live` sends (services/api/src/live): rows by ID, times in milliseconds since 1970, memory in bytes. */
export interface NodeRow {
  readonly id: string;
  readonly name: string;
  readonly address: string;
  /** ready, drained, unreachable */
  readonly state: string;
  /** When it came into this state. */
  readonly since: number | null;
  readonly cpus: number;
  readonly memory: number;
  readonly memoryUsed: number | null;
}

export interface PortRow {
  readonly ip: string;
  readonly privatePort: number;
  readonly publicPort: number | null;
  readonly type: string;
}

export interface ContainerRow {
  readonly id: string;
  readonly name: string;
  readonly image: string;
  readonly command: string;
  /** Docker's: created, running, paused, restarting, removing, exited, dead. */
  readonly state: string;
  readonly health: string | null;
  readonly exitCode: number | null;
  /** ID of its node. */
  readonly node: string;
  readonly created: number;
  /** When it started or ended. */
  readonly since: number | null;
  readonly ports: readonly PortRow[];
}

export interface BuildRow {
  readonly id: string;
  readonly state: "queued" | "running" | "succeeded" | "failed" | "cancelled";
  readonly tags: readonly string[];
  readonly step: number;
  readonly steps: number;
  readonly worker: string | null;
  readonly attempts: number;
  readonly error: string | null;
  readonly created: number;
  readonly started: number | null;
  readonly finished: number | null;
}

export interface Snapshot {
  readonly nodes: readonly NodeRow[];
  readonly containers: readonly ContainerRow[];
  readonly builds: readonly BuildRow[];
}

/** The named events of the stream. */
export interface LiveEvents {
  snapshot: Snapshot;
  nodes: readonly NodeRow[];
  containers: { readonly changed: readonly ContainerRow[]; readonly removed: readonly string[] };
  builds: readonly BuildRow[];
}
