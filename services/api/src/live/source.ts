import { buildGet, type BuildJob, buildList, type BuildRow, containerRows, type NodeDescription, type NodeRow, schedulerInfo } from "@gantry/contracts";
import { isGantryError } from "@gantry/kernel";
import { ask } from "../ask.ts";
import type { Backend } from "../backend.ts";
import { nodeState } from "../domain/node-state.ts";
import type { LiveSource } from "./hub.ts";

const MAX_CONTAINERS = 5_000;
const MAX_BUILDS = 100;

const ms = (time: string | null): number | null => (time === null ? null : Date.parse(time));

export function buildRow(job: BuildJob): BuildRow {
  return {
    id: job.id, state: job.state, tags: [...job.spec.tags], step: job.step, steps: job.steps, worker: job.worker, attempts: job.attempts, error: job.error,
    created: Date.parse(job.createdAt), started: ms(job.startedAt), finished: ms(job.finishedAt),
  };
}

interface NodeHealth { readonly alive: boolean; readonly memoryUsedBytes: number; readonly since: string; readonly availability: string; readonly availableSince: string }

export function nodeRow(node: NodeDescription & NodeHealth): NodeRow {
  const { word, since } = nodeState({ ...node, ready: node.alive });
  return {
    id: node.nodeId, name: node.hostname, address: /^https?:/.test(node.address) ? new URL(node.address).hostname : "",
    state: word, since: since === "" ? null : Date.parse(since), cpus: node.cpus, memory: node.memoryBytes, memoryUsed: node.alive ? node.memoryUsedBytes : null,
  };
}

/** Rows of the live view, asked of their owners over the bus. */
export function busSource(backend: Pick<Backend, "bus" | "clock">): LiveSource {
  const { bus } = backend;
  const oneBuild = (id: string) => ask(backend, buildGet, { id }).catch((error: unknown) => {
    if (isGantryError(error, "NO_SUCH_BUILD")) return null;
    throw error;
  });
  return {
    nodes: async () => (await bus.call(schedulerInfo, {})).nodes.map((node) => nodeRow(node as unknown as NodeDescription & NodeHealth)),
    containers: async (ids) => (await bus.call(containerRows, { ids: ids === null ? null : [...ids], limit: MAX_CONTAINERS })).rows,
    builds: async (ids) => {
      const jobs = ids === null ? (await ask(backend, buildList, { limit: MAX_BUILDS })).jobs : await Promise.all(ids.map(oneBuild));
      return jobs.filter((job) => job !== null).map(buildRow);
    },
  };
}
