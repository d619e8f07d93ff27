import { on, type Route } from "@gantry/bus";
import {
  containerCreate, fail, imageResolve, nodeContainerCreate, type ContainerConfig, type EndpointSettings, type HostConfig,
  type NetworkResource, type ReplyOf,
} from "@gantry/contracts";
import { newId, rfc3339Nano } from "@gantry/kernel";
import { traced } from "@gantry/telemetry/trace";
import type { Kysely } from "kysely";
import { callNode, type Context } from "../context.ts";
import { emit, emitContainer } from "../docker-events.ts";
import { readConstraints, type Constraint } from "../domain/constraints.ts";
import { checkConfig, imageConfigOf, mergeConfig, readConfig } from "../domain/config.ts";
import { fixedPorts, limitsOf, reservedBy } from "../domain/demand.ts";
import { checkEndpoint, networkModeOf, wantedNetworks, type WantedNetworks } from "../domain/endpoints.ts";
import { checkHostConfig, readHostConfig, swapOf } from "../domain/host-config.ts";
import { parseVolumesFrom, resolveMounts } from "../domain/mounts.ts";
import { checkPlatform } from "../domain/image-platform.ts";
import { checkName, generateName, nameInUse } from "../domain/names.ts";
import { isPredefined } from "../domain/network.ts";
import { place, type Demand } from "../domain/placement.ts";
import { object, string, type Json } from "../domain/read.ts";
import type { ContainerRecord, ContainerSpec } from "../domain/record.ts";
import { newState } from "../domain/state.ts";
import { candidates } from "../candidates.ts";
import { Superseded } from "../leadership.ts";
import { countNoNode, countPlacement } from "../metrics.ts";
import { settleRemovals } from "../resync.ts";
import { deleteContainer, getContainer, insertContainer, listContainers, nameOwner, resolveContainer, saveState } from "../store/containers.ts";
import { addRemoval } from "../store/removals.ts";
import { resolveNetwork } from "../store/networks.ts";
import { deleteVolume, getVolume, insertVolume, saveVolume } from "../store/volumes.ts";
import type { SchedulerTables } from "../store/schema.ts";

type Tx = Kysely<SchedulerTables>;
type Image = ReplyOf<typeof imageResolve>;

const NODE_TIMEOUT_MS = 600_000;
const NAME_ATTEMPTS = 20;

export function createRoutes(context: Context): Route[] {
  return [on(containerCreate, async ({ id, name, body, platform }) => {
    const known = await getContainer(context.database.query, id);
    if (known !== null) return { id, warnings: known.seq > 0 ? [] : await carryOn(context, known) };
    if (name !== null) checkName(name);
    const user = readConfig(body);
    const host = readHostConfig(object(body["HostConfig"], "HostConfig"));
    const networking = object(body["NetworkingConfig"], "NetworkingConfig");
    if (user.Image === "") throw fail("INVALID", "no image specified");
    checkHostConfig(host);
    host.MemorySwap = swapOf(host);
    host.NetworkMode = networkModeOf(host.NetworkMode);
    const wanted = wantedNetworks(host, networking, string(body, "MacAddress"));
    const image = await context.bus.call(imageResolve, { ref: user.Image });
    checkPlatform(platform, user.Image, image.config);
    // Only what the user said, not what the image's labels say.
    const { constraints, env } = readConstraints(user.Env, user.Labels);
    const config = mergeConfig({ ...user, Env: env }, imageConfigOf(image.config));
    checkConfig(config);
    const prepared = await traced("@gantry/scheduler", "place container", { "container.id": id }, async (span) => {
      const done = await context.leader.transaction((tx) => prepare(context, tx, { id, name, config, host, wanted, image, constraints }));
      span.setAttribute("gantry.node.id", done.record.nodeId);
      return done;
    }).catch((error: unknown) => {
      countNoNode(error);
      throw error;
    });
    countPlacement(prepared.record.spec.placement?.rejected ?? []);
    const warnings = await createOnNode(context, prepared, image);
    return { id, warnings: [...hostWarnings(host), ...warnings] };
  })];
}

function hostWarnings(host: HostConfig): string[] {
  const published = Object.keys(host.PortBindings).length > 0;
  return host.NetworkMode === "host" && published ? ["Published ports are discarded when using host network mode"] : [];
}

interface Request { id: string; name: string | null; config: ContainerConfig; host: HostConfig; wanted: WantedNetworks; image: Image; constraints: readonly Constraint[] }
interface Prepared { record: ContainerRecord; networks: { network: NetworkResource; endpoint: EndpointSettings }[]; newVolumes: string[] }

/** Names, networks, volumes and the node are settled, and recorded, in one transaction. */
async function prepare(context: Context, tx: Tx, request: Request): Promise<Prepared> {
  const { id, config, image } = request;
  const name = await chooseName(context, tx, request.name, id);
  const sharing: { ref: string; nodeId: string }[] = [];
  const other = async (ref: string) => {
    const found = await resolveContainer(tx, ref);
    sharing.push({ ref, nodeId: found.nodeId });
    return found;
  };
  const host = { ...request.host };
  const shared = async (mode: string) => mode.startsWith("container:") ? `container:${(await other(mode.slice("container:".length))).id}` : mode;
  host.NetworkMode = await shared(host.NetworkMode);
  host.IpcMode = await shared(host.IpcMode);
  host.PidMode = await shared(host.PidMode);

  const from = await Promise.all((host.VolumesFrom ?? []).map(parseVolumesFrom).map(async ({ ref, mode }) => ({ mode, mounts: (await other(ref)).spec.mounts })));
  const { mounts, volumes } = resolveMounts(config, host, from, newId);
  const networks = await Promise.all(request.wanted.map(async ([ref, endpoint]) => {
    const network = await resolveNetwork(tx, ref);
    checkEndpoint(network, endpoint);
    return { network, endpoint };
  }));
  const first = networks[0];
  const links = await resolveLinks(host, other);
  if (first && links.length > 0) first.endpoint.Links = [...(first.endpoint.Links ?? []), ...links];

  const existing = await Promise.all(volumes.map(async (wish) => ({ wish, record: await getVolume(tx, wish.name) })));
  const reserve = reservedBy(host, context.reserve);
  const demand: Demand = {
    limits: limitsOf(host), reserve, image: image.id, constraints: request.constraints, withContainers: sharing, ports: fixedPorts(host),
    volumes: existing.flatMap(({ record }) => record === null ? [] : [{ name: record.name, nodeId: record.nodeId }]),
    networks: await homesOf(tx, networks.map(({ network }) => network)), platform: platformOf(image),
  };
  const placement = place(await candidates(context, tx, reserve), demand);
  if (placement.nodeId === null) throw noNode(placement.rejected);

  const created = rfc3339Nano(context.clock.nowNano());
  const spec: ContainerSpec = {
    config, hostConfig: host, mounts, placement, platform: string(image.config as Json, "os", "linux") || "linux",
    networks: networks.map(({ network, endpoint }) => ({ id: network.Id, name: network.Name, endpoint })),
  };
  const record: ContainerRecord = { id, name, created, nodeId: placement.nodeId, imageId: image.id, spec, state: newState(), seq: 0 };
  await insertContainer(tx, record);
  const newVolumes = existing.filter(({ record: volume }) => volume === null).map(({ wish }) => wish);
  for (const wish of newVolumes) {
    await insertVolume(tx, { name: wish.name, nodeId: placement.nodeId, anonymous: wish.anonymous, resource: {
      CreatedAt: created.slice(0, 19) + "Z", Driver: wish.driver, Labels: Object.keys(wish.labels).length > 0 ? wish.labels : null, Mountpoint: "", Name: wish.name,
      Options: Object.keys(wish.options).length > 0 ? wish.options : null, Scope: "local",
    } });
  }
  return { record, networks, newVolumes: newVolumes.map((wish) => wish.name) };
}

/** Where the containers of user networks are. */
async function homesOf(tx: Tx, networks: readonly NetworkResource[]): Promise<Demand["networks"]> {
  const own = networks.filter((network) => network.Driver === "bridge" && !isPredefined(network));
  if (own.length === 0) return [];
  const containers = await listContainers(tx, null);
  return own.flatMap(({ Id, Name: name }) => {
    const other = containers.find((c) => c.spec.networks.some((n) => n.id === Id));
    return other === undefined ? [] : [{ name, nodeId: other.nodeId, container: other.name }];
  });
}

function platformOf(image: Image): Demand["platform"] {
  const config = image.config as Json;
  const architecture = string(config, "architecture");
  return architecture === "" ? null : { os: string(config, "os", "linux") || "linux", architecture };
}

async function chooseName(context: Context, tx: Tx, given: string | null, id: string): Promise<string> {
  if (given !== null) {
    const name = checkName(given);
    const owner = await nameOwner(tx, name);
    if (owner !== null) throw nameInUse(name, owner);
    return name;
  }
  for (let attempt = 0; attempt < NAME_ATTEMPTS; attempt++) {
    const name = generateName(context.random, attempt);
    if (await nameOwner(tx, name) === null) return name;
  }
  return id.slice(0, 12);
}

/** `--link name:alias` → `<id>:alias`. */
async function resolveLinks(host: HostConfig, other: (ref: string) => Promise<ContainerRecord>): Promise<string[]> {
  return Promise.all((host.Links ?? []).map(async (link) => {
    const [ref = "", alias = ref] = link.split(":");
    if (ref === "" || alias === "") throw fail("INVALID", `bad format for links: ${link}`);
    return `${(await other(ref)).id}:${alias.replace(/^.*\//, "")}`;
  }));
}

function noNode(rejected: readonly { nodeId: string; filter: string; reason: string }[]) {
  const reasons = rejected.map(({ nodeId, reason }) => `node ${nodeId}: ${reason}`).join("; ");
  // A single node's own limits are the user's mistake, and read as Docker's error.
  if (rejected.length === 1 && (rejected[0]!.filter === "cpu" || rejected[0]!.filter === "memory")) return fail("INVALID", rejected[0]!.reason, { details: { rejected } });
  return fail("NO_NODE_FITS", reasons === "" ? "no node has registered yet" : `no suitable node (${reasons})`, { details: { rejected } });
}

/** A creation that an earlier scheduler, or an earlier delivery of the command, left in the middle: recorded, and not known to be made. */
async function carryOn(context: Context, record: ContainerRecord): Promise<string[]> {
  const db = context.database.query;
  const volumes = await Promise.all(record.spec.mounts.filter((mount) => mount.Type === "volume").map(({ Name }) => getVolume(db, Name)));
  const newVolumes = volumes.flatMap((volume) => volume !== null && volume.resource.Mountpoint === "" ? [volume.name] : []);
  const image = await context.bus.call(imageResolve, { ref: record.imageId });
  const networks = await Promise.all(record.spec.networks.map(async ({ id, endpoint }) => ({ network: await resolveNetwork(db, id), endpoint })));
  return createOnNode(context, { record, networks, newVolumes }, image);
}

async function createOnNode(context: Context, prepared: Prepared, image: Image): Promise<string[]> {
  const { record, networks, newVolumes } = prepared;
  const { id, nodeId, spec } = record;
  try {
    const reply = await callNode(context, nodeId, nodeContainerCreate, {
      id, name: record.name, epoch: context.leader.epoch, config: { ...spec.config }, hostConfig: { ...spec.hostConfig }, image,
      mounts: spec.mounts.map((mount) => ({ ...mount })), networks: networks.map(({ network, endpoint }) => ({ network: { ...network }, endpoint: { ...endpoint } })),
    }, { timeoutMs: NODE_TIMEOUT_MS, key: id });
    await context.leader.transaction(async (tx, outbox) => {
      const current = await getContainer(tx, id);
      if (current === null || current.seq > 0) return;
      await saveState(tx, id, reply.state, reply.seq);
      for (const name of newVolumes) {
        const volume = await getVolume(tx, name);
        const mountpoint = reply.state.mounts.find((mount) => mount["Name"] === name)?.["Source"];
        if (volume) await saveVolume(tx, { ...volume.resource, Mountpoint: String(mountpoint ?? "") });
        await emit(outbox, context.clock, "volume", "create", name, { driver: "local" });
      }
      await emitContainer(outbox, context.clock, record, "create");
    });
    return reply.warnings;
  } catch (e) {
    if (e instanceof Superseded) throw e;
    // The node may have made it all the same, or make it yet: a reply that came too late, or not at all.
    await context.leader.transaction(async (tx) => {
      if (await deleteContainer(tx, id)) await addRemoval(tx, { id, volumes: true }, nodeId, rfc3339Nano(context.clock.nowNano()));
      for (const name of newVolumes) await deleteVolume(tx, name);
    });
    settleRemovals(context, nodeId).catch((cause: unknown) => context.logger.debug({ id, err: cause }, "what a failed create may have left is removed later"));
    throw e;
  }
}
