/** Tables of the scheduler. What is written together is one JSON document; columns are what is searched by. */
export interface SchedulerTables {
  containers: {
    id: string; name: string; created: string; node_id: string; image_id: string; status: string; seq: number;
    /** ContainerSpec and ContainerState as JSON. */
    spec: string; state: string;
  };
  networks: { id: string; name: string; driver: string; resource: string };
  volumes: { name: string; node_id: string; anonymous: number; resource: string };
  /** `state`: ready or unreachable, `since` then; `availability`: active or drain, since `available_since` (empty: ever). */
  nodes: { node_id: string; description: string; registered_at: string; state: string; since: string; availability: string; available_since: string };
  /** Containers without a record that their node may still have, and is to remove when it can be reached; `volumes`: 1, with its anonymous volumes. */
  removals: { id: string; node_id: string; asked_at: string; volumes: number };
  /** Bearer tokens, and browser sessions: those with a parent. Times are RFC 3339 in UTC with milliseconds, so that their order is that of the text. */
  tokens: { id: string; parent: string | null; hash: string; name: string; role: string; created: string; expires: string | null; last_used: string | null };
  /** One row: the epoch, and the lease of the scheduler that is active: `beat` grows as long as `holder` renews it. */
  leadership: { id: number; epoch: number; beat: number; holder: string };
}
