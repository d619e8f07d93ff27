import { on, type Route } from "@gantry/bus";
import {
  containerInspect, containerList, containerLocate, containerPlacement, containerRows, containersUsingImage, fail, nodeContainerSize, schedulerInfo,
} from "@gantry/contracts";
import { isGantryError } from "@gantry/kernel";
import { callNode, type Context } from "../context.ts";
import { checkContainerFilters, matchesContainer, type FilterContext, type Filters } from "../domain/filters.ts";
import { inspectContainer } from "../domain/inspect.ts";
import { listRow } from "../domain/list-row.ts";
import { unreachableText } from "../domain/node.ts";
import { overviewRow } from "../domain/overview-row.ts";
import type { ContainerRecord } from "../domain/record.ts";
import { isRunning } from "../domain/state.ts";
import { containersOfImages, countByStatus, getContainers, listContainers, resolveContainer } from "../store/containers.ts";
import { getNode, listNodes } from "../store/nodes.ts";
import { resolveNetwork } from "../store/networks.ts";

const SIZE_TIMEOUT_MS = 30_000;

export function readRoutes(context: Context): Route[] {
  const db = context.database.query;
  /** Null while its node cannot be reached. */
  const sizeOf = (record: ContainerRecord) => callNode(context, record.nodeId, nodeContainerSize, { id: record.id }, { timeoutMs: SIZE_TIMEOUT_MS }).catch((e: unknown) => {
    if (isGantryError(e, "NODE_UNREACHABLE")) return null;
    throw e;
  });

  return [
    on(containerList, async ({ all, limit, size, filters }) => {
      checkContainerFilters(filters);
      const asksStatus = (filters["status"] ?? []).length > 0 || (filters["exited"] ?? []).length > 0 || (filters["health"] ?? []).length > 0;
      const everything = all || asksStatus || limit !== null || (filters["before"] ?? []).length > 0 || (filters["since"] ?? []).length > 0;
      const found = await filterContext(context, filters);
      const rows = (await listContainers(db, everything ? null : ["running", "paused", "restarting"]))
        .filter((record) => matchesContainer(record, filters, found))
        .slice(0, limit !== null && limit > 0 ? limit : undefined);
      const now = context.clock.now();
      const unreachable = new Set((await listNodes(db)).filter((node) => node.state === "unreachable").map((node) => node.description.nodeId));
      return { containers: await Promise.all(rows.map(async (record) =>
        listRow(record, {
          now, imageRef: await context.images.shown(record.spec.config.Image, record.imageId), sizes: size ? await sizeOf(record) : null, unreachable: unreachable.has(record.nodeId),
        }))) };
    }),

    on(containerRows, async ({ ids, limit }) => {
      const records = ids === null ? (await listContainers(db, null)).slice(0, limit) : await getContainers(db, ids);
      return { rows: await Promise.all(records.map(async (record) => overviewRow(record, await context.images.shown(record.spec.config.Image, record.imageId)))) };
    }),

    on(containerInspect, async ({ ref, size }) => {
      const record = await resolveContainer(db, ref);
      return { container: inspectContainer(record, size ? await sizeOf(record) : null, await getNode(db, record.nodeId)) };
    }),

    on(containerLocate, async ({ ref }) => {
      const record = await resolveContainer(db, ref);
      const node = await getNode(db, record.nodeId);
      if (node === null) throw fail("NO_SUCH_NODE", `node ${record.nodeId} of container ${record.id} is not known`);
      const { config, hostConfig } = record.spec;
      return {
        id: record.id, name: record.name, nodeId: record.nodeId, address: node.description.address, tty: config.Tty, openStdin: config.OpenStdin,
        status: record.state.status, exitCode: record.state.exitCode, error: record.state.error, autoRemove: hostConfig.AutoRemove,
        startedAt: record.state.startedAt, finishedAt: record.state.finishedAt, image: config.Image, labels: config.Labels,
        ...(node.state === "ready" ? {} : { unreachable: unreachableText({ nodeId: record.nodeId, since: Date.parse(node.since) }, context.clock.now()) }),
      };
    }),

    on(containerPlacement, async ({ ref }) => {
      const { id, name, nodeId, created, spec: { placement } } = await resolveContainer(db, ref);
      return {
        containerId: id, name, nodeId, decidedAt: created, rejected: placement.rejected.map((rejection) => ({ ...rejection })),
        scores: placement.scores.map((score) => ({ ...score, parts: { ...score.parts } })),
      };
    }),

    on(containersUsingImage, async ({ imageIds }) => ({
      uses: (await containersOfImages(db, imageIds)).map((record) => ({
        containerId: record.id, imageId: record.imageId, imageRef: record.spec.config.Image, running: isRunning(record.state) || record.state.status === "restarting",
      })),
    })),

    on(schedulerInfo, async () => {
      const counts = await countByStatus(db);
      const sum = (...statuses: string[]) => statuses.reduce((total, status) => total + (counts.get(status) ?? 0), 0);
      const nodes = (await listNodes(db)).map(({ description, state, since, availability, availableSince }) => ({
        ...description, alive: state === "ready", since, availability, availableSince, memoryUsedBytes: context.liveness.load(description.nodeId)?.memoryUsedBytes ?? 0,
      }));
      return {
        containers: [...counts.values()].reduce((a, b) => a + b, 0), running: sum("running", "restarting"), paused: sum("paused"),
        stopped: sum("created", "exited", "dead", "removing"), nodes,
      };
    }),
  ];
}

/** What filters refer to by name. An ancestor or network nobody knows matches nothing, as Docker's. */
async function filterContext(context: Context, filters: Filters): Promise<FilterContext> {
  const db = context.database.query;
  const one = async (name: string) => {
    const ref = filters[name]?.[0];
    return ref === undefined ? null : resolveContainer(db, ref);
  };
  const ancestors = await Promise.all((filters["ancestor"] ?? []).map((ref) => context.images.idOf(ref)));
  const networks = await Promise.all((filters["network"] ?? []).map(async (ref) => resolveNetwork(db, ref).then((n) => n.Id, () => null)));
  return {
    ancestors: new Set(ancestors.filter((id) => typeof id === "string")),
    networks: new Set(networks.filter((id) => id !== null)),
    before: await one("before"),
    since: await one("since"),
  };
}
