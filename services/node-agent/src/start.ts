import { closeSync, constants, existsSync, openSync } from "node:fs";
import { join, relative } from "node:path";
import { fail, type ContainerState } from "@gantry/contracts";
import { bootId, isGantryError, rfc3339Nano } from "@gantry/kernel";
import type { Rootfs, RunningContainer } from "@gantry/runtime";
import { histogram, metric } from "@gantry/telemetry/metrics";
import { traced } from "@gantry/telemetry/trace";
import type { OverlayRootfs } from "@gantry/snapshots";
import type { Agent } from "./context.ts";
import { hostDevices } from "./devices.ts";
import { portMap } from "./domain/network-config.ts";
import { mountList } from "./spec/mount-list.ts";
import { containerSpec } from "./spec/container-spec.ts";
import { watch } from "./exit.ts";
import { freeSlot, mappingOf, wantsUserNamespace } from "./spec/user-namespace.ts";
import { startHealthchecks } from "./health.ts";
import { hostnameOf } from "./hostname.ts";
import type { Entry } from "./model.ts";
import { mountRows, mountSources, type MountSource } from "./mount-sources.ts";
import { connectAll, dnsRecords, FILES, linkAddresses, writeNetworkFiles, type Connected } from "./networking.ts";
import { change } from "./reports.ts";

const starts = histogram(metric.containerStarts);

/** The container whose namespace a mode such as `container:<id>` joins. */
function joined(agent: Agent, mode: string, kind: string): Entry | null {
  if (!mode.startsWith("container:")) return null;
  const id = mode.slice("container:".length);
  const other = agent.entries.get(id);
  if (!other) throw fail("NO_SUCH_CONTAINER", `No such container: ${id}`);
  if (!other.running) throw fail("CONFLICT", `cannot join ${kind} of a non running container: ${id}`);
  return other;
}

/**
 * Starts the process of a container that does not run. On failure everything is as before, except that the state says why.
 * The caller holds the container's turn. `key`: that of the command.
 */
export async function startContainer(agent: Agent, entry: Entry, changes: Partial<ContainerState> = {}, key: string | null = null): Promise<void> {
  const began = performance.now();
  const outcome = (result: "ok" | "failed") => starts.record((performance.now() - began) / 1000, { outcome: result });
  const { config, hostConfig } = entry.spec;
  const network = joined(agent, hostConfig.NetworkMode, "network");
  const ipc = joined(agent, hostConfig.IpcMode, "IPC");
  const pid = joined(agent, hostConfig.PidMode, "PID");
  const hostname = hostnameOf(agent, entry);
  entry.stored.userSlot = wantsUserNamespace(hostConfig) ? freeSlot(slotsInUse(agent, entry)) : null;
  const waiters = [...entry.waiters];
  let connected: Connected | null = null;
  const opened: number[] = [];
  entry.starting = true;
  try {
    const [rootfs, sources, devices] = await Promise.all([
      agent.snapshots.rootfs(entry.id), mountSources(entry.spec.mounts, agent.volumes), hostDevices(hostConfig),
    ]);
    entry.stored.networks = entry.stored.networks.map(({ network: known, endpoint }) => ({ network: agent.heard.get(known.Id) ?? known, endpoint }));
    connected = await connectAll(agent, { entry, hostname });
    const intent = { key, after: entry.stored.state.startedAt, at: String(agent.clock.nowNano()), networks: connected.settings, bindings: [...connected.bindings], userSlot: entry.stored.userSlot };
    await Promise.all([
      agent.store.intend(entry.id, intent),
      network ? null : writeNetworkFiles(entry, hostname, connected, linkAddresses(entry, agent.entries)),
    ]);
    const points = sources.map((source) => pinned(agent, source, opened));
    const spec = containerSpec({
      id: entry.id, dir: entry.dir, config, hostConfig, rootfs: withMountPoints(rootfs, agent.mountPoints), devices,
      mounts: mountList({
        hostConfig, points, hostMqueue: existsSync("/dev/mqueue"),
        files: Object.fromEntries(Object.entries(FILES).map(([destination, name]) => [destination, join((network ?? entry).dir, name)])),
        sharedMemory: hostConfig.IpcMode === "none" ? undefined : hostConfig.IpcMode === "host" ? "/dev/shm" : ipc ? `/proc/${ipc.running!.pid}/root/dev/shm` : null,
      }),
      interfaces: connected.endpoints.map((endpoint) => endpoint.interface), dns: connected.endpoints.length > 0, hostname, cgroupParent: agent.cgroupParent,
      joined: { network: network?.running?.pid ?? null, ipc: ipc?.running?.pid ?? null, pid: pid?.running?.pid ?? null },
      heldCapabilities: agent.heldCapabilities, mappings: entry.stored.userSlot === null ? [] : mappingOf(entry.stored.userSlot),
    });
    const { container, attached } = await traced("@gantry/node-agent", "start container", { "container.id": entry.id }, async (span) => {
      const result = await agent.runtime.start(spec, { attach: waiters.map((waiter) => waiter.options) });
      span.setAttribute("process.pid", result.container.pid);
      return result;
    });
    outcome("ok");
    waiters.forEach((waiter, i) => { entry.waiters.delete(waiter); waiter.begin(attached[i]!); });
    entry.stored.startKey = key ?? entry.stored.startKey;
    started(agent, entry, container, connected, sources, changes);
    await Promise.all([agent.store.save(entry.id, entry.stored), serveNames(agent, entry, container, connected)]);
  } catch (e) {
    if (!entry.running) {
      outcome("failed");
      await failed(agent, entry, connected, e);
    }
    throw e;
  } finally {
    entry.starting = false;
    for (const fd of opened) closeSync(fd);
  }
  startHealthchecks(agent, entry);
}

function slotsInUse(agent: Agent, except: Entry): Set<number> {
  return new Set([...agent.entries.values()].filter((entry) => entry !== except && (entry.running !== null || entry.starting)).flatMap((entry) => entry.stored.userSlot ?? []));
}

/** The places of Docker's default mounts lie in the lowest layer of all: an image without them does not get them by a commit. */
function withMountPoints(rootfs: OverlayRootfs, mountPoints: string): Rootfs {
  return { ...rootfs, lowers: [...rootfs.lowers, relative(rootfs.base, mountPoints)] };
}

/** A part of a volume is opened beneath it, so that no link its users make leads elsewhere. */
function pinned(agent: Agent, mount: MountSource, opened: number[]): MountSource {
  const { point } = mount;
  if (point.Subpath === "") return mount;
  const root = openSync(agent.volumes.path(point.Name), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const fd = agent.native.openat2Sync(root, point.Subpath, 0o10000000 /* O_PATH */, 0, "beneath");
    opened.push(fd);
    return { point, source: `/proc/${process.pid}/fd/${fd}` };
  } finally {
    closeSync(root);
  }
}

function started(agent: Agent, entry: Entry, container: RunningContainer, connected: Connected, sources: readonly MountSource[], changes: Partial<ContainerState>): void {
  entry.running = container;
  entry.stored.bindings = [...connected.bindings];
  entry.stored.startedBefore = true;
  entry.stored.boot = bootId();
  entry.stored.stoppedByUser = false;
  change(agent, entry, {
    status: "running", pid: container.pid, exitCode: 0, error: "", oomKilled: false, startedAt: rfc3339Nano(container.startedAt),
    networks: connected.settings, ports: portMap(connected.bindings), mounts: mountRows(sources, entry.spec.hostConfig.Tmpfs), ...changes,
  });
  watch(agent, entry, container, startContainer);
}

/** Names on the container's networks, and its own look-ups. */
export async function serveNames(agent: Agent, entry: Entry, container: RunningContainer, connected: Pick<Connected, "settings" | "dns">): Promise<void> {
  const records = dnsRecords(connected.settings);
  if (records.length > 0) agent.network.register(entry.id, records);
  if (!connected.dns) return;
  const sockets = await container.dnsSockets();
  if (sockets) await agent.network.serveDns({ containerId: entry.id, udpFd: sockets.udp, tcpFd: sockets.tcp, servers: entry.spec.hostConfig.Dns.length > 0 ? entry.spec.hostConfig.Dns : null });
}

async function failed(agent: Agent, entry: Entry, connected: Connected | null, error: unknown): Promise<void> {
  if (connected) {
    if (connected.bindings.length > 0) await agent.network.unpublish(entry.id);
    agent.network.release(entry.id, null);
  }
  // Whatever it was, the next start looks at the bridges again.
  for (const { network } of entry.stored.networks) agent.ensured.delete(network.Id);
  for (const waiter of entry.waiters) waiter.cancel();
  const code = isGantryError(error, "START_FAILED") && typeof error.details["exitCode"] === "number" ? error.details["exitCode"] : 128;
  change(agent, entry, { status: entry.stored.startedBefore ? "exited" : "created", exitCode: code, error: error instanceof Error ? error.message : String(error) });
  await Promise.all([agent.store.save(entry.id, entry.stored), agent.store.forgetIntent(entry.id)]);
}
