import { createHash } from "node:crypto";
import { on, type Route } from "@gantry/bus";
import {
  fail, nodeVolumeCreate, nodeVolumeRemove, volumeCreate, volumeInspect, volumeList, volumePrune, volumeRemove,
} from "@gantry/contracts";
import { isGantryError, rfc3339Nano } from "@gantry/kernel";
import { callNode, type Context } from "../context.ts";
import { emit } from "../docker-events.ts";
import { candidates } from "../candidates.ts";
import { readConstraints } from "../domain/constraints.ts";
import { checkFilters, matchesLabels, matchesPattern } from "../domain/filters.ts";
import { checkVolumeName } from "../domain/mounts.ts";
import { place } from "../domain/placement.ts";
import { string, stringMap } from "../domain/read.ts";
import type { ContainerRecord } from "../domain/record.ts";
import { listContainers } from "../store/containers.ts";
import { deleteVolume, getVolume, insertVolume, listVolumes, type VolumeRecord } from "../store/volumes.ts";

const NOTHING = { memoryBytes: 0, cpus: 0 };

const usersOf = (volume: string, containers: readonly ContainerRecord[]) => containers.filter((c) => c.spec.mounts.some((m) => m.Type === "volume" && m.Name === volume));

async function find(context: Context, name: string): Promise<VolumeRecord> {
  const volume = await getVolume(context.database.query, name);
  if (volume === null) throw fail("NO_SUCH_VOLUME", `get ${name}: no such volume`);
  return volume;
}

async function remove(context: Context, volume: VolumeRecord, force: boolean): Promise<void> {
  const users = usersOf(volume.name, await listContainers(context.database.query, null));
  if (users.length > 0) throw fail("CONFLICT", `remove ${volume.name}: volume is in use - [${users.map((c) => c.id).join(", ")}]`);
  try {
    await callNode(context, volume.nodeId, nodeVolumeRemove, { name: volume.name, epoch: context.leader.epoch });
  } catch (e) {
    const gone = isGantryError(e, "NO_SUCH_VOLUME") || (force && isGantryError(e, "NODE_UNREACHABLE"));
    if (!gone) throw e;
  }
  await context.leader.transaction(async (tx, outbox) => {
    if (await deleteVolume(tx, volume.name)) await emit(outbox, context.clock, "volume", "destroy", volume.name, { driver: "local" });
  });
}

export function volumeRoutes(context: Context): Route[] {
  const db = context.database.query;
  return [
    on(volumeCreate, async ({ name: given, body }, { messageId }) => {
      const anonymous = given === null || given === "";
      // The same each time that the same command comes.
      const name = anonymous ? createHash("sha256").update(messageId).digest("hex") : checkVolumeName(given);
      const known = await getVolume(db, name);
      if (known !== null) return { volume: { ...known.resource } };
      const driver = string(body, "Driver") || "local";
      if (driver !== "local") throw fail("NOT_FOUND", `error looking up volume plugin ${driver}: plugin "${driver}" not found`);
      const options = stringMap(body, "DriverOpts");
      const labels = { ...stringMap(body, "Labels"), ...(anonymous ? { "com.docker.volume.anonymous": "" } : {}) };
      const { constraints } = readConstraints([], labels);
      const { nodeId, rejected } = place(await candidates(context, db, NOTHING), {
        limits: NOTHING, reserve: NOTHING, volumes: [], withContainers: [], networks: [], ports: [], image: "", platform: null, constraints,
      });
      if (nodeId === null) throw fail("NO_NODE_FITS", `no node is there to keep the volume${rejected.map(({ nodeId: id, reason }) => `; node ${id}: ${reason}`).join("")}`);
      const { mountpoint } = await callNode(context, nodeId, nodeVolumeCreate, { name, options, epoch: context.leader.epoch });
      const resource = {
        CreatedAt: rfc3339Nano(context.clock.nowNano()).slice(0, 19) + "Z", Driver: "local", Labels: Object.keys(labels).length > 0 ? labels : null, Mountpoint: mountpoint,
        Name: name, Options: Object.keys(options).length > 0 ? options : null, Scope: "local",
      };
      await context.leader.transaction(async (tx, outbox) => {
        if (await insertVolume(tx, { name, nodeId, anonymous, resource })) await emit(outbox, context.clock, "volume", "create", name, { driver: "local" });
      });
      return { volume: { ...(await find(context, name)).resource } };
    }),

    on(volumeInspect, async ({ name }) => ({ volume: { ...(await find(context, name)).resource } })),

    on(volumeList, async ({ filters }) => {
      checkFilters(filters, new Set(["dangling", "driver", "label", "name"]));
      const any = (key: string, test: (values: readonly string[]) => boolean) => filters[key] === undefined || filters[key].length === 0 || test(filters[key]);
      const containers = filters["dangling"] ? await listContainers(db, null) : [];
      return { volumes: (await listVolumes(db)).filter(({ name, resource }) =>
        any("name", (v) => matchesPattern(name, v)) && any("driver", (v) => v.includes(resource.Driver)) && any("label", (v) => matchesLabels(resource.Labels ?? {}, v))
        && any("dangling", (v) => ["true", "1"].includes(v[0]!) === (usersOf(name, containers).length === 0)),
      ).map(({ resource }) => ({ ...resource })) };
    }),

    on(volumeRemove, async ({ name, force }) => {
      const volume = await getVolume(db, name);
      if (volume === null) {
        if (force) return {};
        throw fail("NO_SUCH_VOLUME", `get ${name}: no such volume`);
      }
      await remove(context, volume, force);
      return {};
    }),

    on(volumePrune, async ({ filters }) => {
      checkFilters(filters, new Set(["label", "label!", "all"]));
      const all = ["true", "1"].includes(filters["all"]?.[0] ?? "");
      const containers = await listContainers(db, null);
      const names: string[] = [];
      for (const volume of await listVolumes(db)) {
        const labels = volume.resource.Labels ?? {};
        if ((!all && !volume.anonymous) || usersOf(volume.name, containers).length > 0) continue;
        if (!matchesLabels(labels, filters["label"] ?? []) || (filters["label!"] ?? []).some((l) => matchesLabels(labels, [l]))) continue;
        await remove(context, volume, false);
        names.push(volume.name);
      }
      return { names, spaceReclaimed: 0 };
    }),
  ];
}
