import { closeSync, constants, openSync } from "node:fs";
import type { BodyOf, ContainerConfig, EndpointSettings, HostConfig, MountPoint, NetworkResource, nodeContainerCreate } from "@gantry/contracts";
import { fail } from "@gantry/contracts";
import { errnoOf, isGantryError, ZERO_TIME } from "@gantry/kernel";
import { dnsWarning } from "@gantry/network";
import { copyTree } from "@gantry/snapshots";
import { join } from "node:path";
import type { Agent } from "./context.ts";
import { readSecurityOptions } from "./spec/security.ts";
import { capabilitiesOf } from "./spec/capabilities.ts";
import { wantsUserNamespace } from "./spec/user-namespace.ts";
import { ensureImageLayers } from "./layers.ts";
import type { Entry, StoredSpec, StoredState } from "./model.ts";
import { mountRows, mountSources } from "./mount-sources.ts";
import { idleSettings } from "./networking.ts";
import { change } from "./reports.ts";

/** Layers, writable snapshot, directory, volumes: everything but a process. Idempotent. */
export async function createContainer(agent: Agent, body: BodyOf<typeof nodeContainerCreate>): Promise<{ entry: Entry; warnings: string[] }> {
  const known = agent.entries.get(body.id);
  if (known) return { entry: known, warnings: [] };
  // The scheduler has read and completed these; their shapes are those of contracts' docker.ts.
  const spec: StoredSpec = {
    id: body.id, image: body.image, config: body.config as unknown as ContainerConfig, hostConfig: body.hostConfig as unknown as HostConfig,
    mounts: body.mounts as unknown as MountPoint[],
  };
  const networks = body.networks.map(({ network, endpoint }) => ({ network: network as unknown as NetworkResource, endpoint: endpoint as unknown as EndpointSettings }));
  for (const { network } of networks) agent.heard.set(network.Id, network);
  // Refused before anything is made.
  readSecurityOptions(spec.hostConfig.SecurityOpt ?? [], spec.hostConfig.Privileged);
  capabilitiesOf(spec.hostConfig, agent.heldCapabilities);
  wantsUserNamespace(spec.hostConfig);
  for (const point of spec.mounts) {
    if (Object.keys(point.VolumeOptions).length > 0) throw fail("NOT_IMPLEMENTED", "options of the local volume driver are not there yet");
  }
  const [chainId, sources] = await Promise.all([ensureImageLayers(agent, spec.image.layers), mountSources(spec.mounts, agent.volumes)]);
  await agent.snapshots.prepare(body.id, chainId, { volatile: spec.hostConfig.AutoRemove }).catch((e: unknown) => {
    // Left by an agent that died in the middle of this.
    if (!isGantryError(e, "CONFLICT")) throw e;
  });
  try {
    for (const { point } of sources) if (point.Type === "volume" && point.CopyUp) await copyUp(agent, body.id, point);
    const dir = agent.store.dir(body.id);
    const paths = { ResolvConfPath: "resolv.conf", HostnamePath: "hostname", HostsPath: "hosts", LogPath: "log" };
    const stored: StoredState = {
      name: body.name, seq: 0, networks, bindings: [], startedBefore: false, stoppedByUser: false, lastDelay: 0, userSlot: null, boot: null, startKey: null,
      state: {
        status: "created", pid: 0, exitCode: 0, error: "", oomKilled: false, startedAt: ZERO_TIME, finishedAt: ZERO_TIME, restartCount: 0,
        networks: Object.fromEntries(networks.map((attachment) => [attachment.network.Name, idleSettings(attachment)])), ports: {},
        mounts: mountRows(sources, spec.hostConfig.Tmpfs),
        paths: Object.fromEntries(Object.entries(paths).map(([key, name]) => [key, join(dir, name)])),
        health: hasHealthcheck(spec.config) ? { Status: "starting", FailingStreak: 0, Log: [] } : null,
      },
    };
    const entry: Entry = { id: body.id, dir, spec, stored, running: null, ended: Promise.resolve(), waiters: new Set(), restart: null, health: null, removing: false, starting: false };
    change(agent, entry, {});
    await agent.store.create(spec, stored);
    agent.entries.set(body.id, entry);
    const warning = dnsWarning(spec.hostConfig.Dns);
    return { entry, warnings: warning === null ? [] : [warning] };
  } catch (e) {
    await agent.snapshots.remove(body.id);
    throw e;
  }
}

export function hasHealthcheck(config: ContainerConfig): boolean {
  const test = config.Healthcheck?.Test ?? [];
  return test.length > 0 && test[0] !== "NONE";
}

/** What the image has at the volume's path goes into an empty volume, with the owner and mode of the directory itself. */
async function copyUp(agent: Agent, key: string, point: MountPoint): Promise<void> {
  if (!await agent.volumes.isEmpty(point.Name)) return;
  await using mounted = await agent.snapshots.mount(key, { readonly: true });
  const root = openSync(mounted.path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    closeSync(agent.native.openat2Sync(root, point.Destination, constants.O_RDONLY | constants.O_DIRECTORY, 0, "in-root"));
  } catch (e) {
    if (["ENOENT", "ENOTDIR", "ELOOP"].includes(errnoOf(e) ?? "")) return;
    throw e;
  } finally {
    closeSync(root);
  }
  await copyTree(agent.native, mounted.path, point.Destination, agent.volumes.path(point.Name));
}
