import { on, type Bus } from "@gantry/bus";
import {
  fail, nodeContainerCreate, nodeContainerKill, nodeContainerPause, nodeContainerRemove, nodeContainerRename, nodeContainerReport, nodeContainerSize, nodeContainerStart,
  nodeContainerStop, nodeContainerUpdate, nodeHeartbeat, nodeNetworkCreate, nodeNetworkRemove, nodeRegister, nodeResync, nodeVolumeCreate, nodeVolumeRemove, type ContainerState,
} from "@gantry/contracts";
import { rfc3339Nano, systemClock } from "@gantry/kernel";

/** A node that keeps states and runs nothing: what the scheduler is told, and tells, can be laid out at will. */
export class PaperNode {
  readonly containers = new Map<string, { seq: number; state: ContainerState }>();
  readonly epochs: number[] = [];
  /** How often each was started. */
  readonly starts = new Map<string, number>();
  /** HostConfigs of updates, in order. */
  readonly updates: Record<string, unknown>[] = [];
  readonly volumes = new Set<string>();
  /** Thrown by the next start. */
  failure: Error | null = null;
  subnets: string[] = [];
  /** Sends no heartbeat. */
  silent = false;
  readonly #bus: Bus;
  readonly #nodeId: string;

  constructor(bus: Bus, nodeId: string) {
    this.#bus = bus;
    this.#nodeId = nodeId;
  }

  async register(): Promise<void> {
    await this.#bus.call(nodeRegister, { nodeId: this.#nodeId, hostname: "h", address: "unix:/none", cpus: 4, memoryBytes: 8e9, labels: {}, platform: { subnets: this.subnets } });
  }

  /** As an agent: commands of an earlier epoch than the last are refused. */
  obey(epoch: number): void {
    if (epoch < Math.max(0, ...this.epochs.slice(-1))) throw fail("STALE_EPOCH", `epoch ${epoch} is over`);
    this.epochs.push(epoch);
  }

  change(id: string, over: Partial<ContainerState>): { seq: number; state: ContainerState } {
    const known = this.containers.get(id);
    if (!known) throw fail("NO_SUCH_CONTAINER", `No such container: ${id}`);
    const next = { seq: known.seq + 1, state: { ...known.state, ...over } };
    this.containers.set(id, next);
    return next;
  }

  async report(id: string, over: Partial<ContainerState>, seq?: number): Promise<void> {
    const next = this.change(id, over);
    await this.#bus.publish(nodeContainerReport, { nodeId: this.#nodeId, containerId: id, seq: seq ?? next.seq, state: next.state, action: null, attributes: {} });
  }

  async dies(id: string, exitCode: number): Promise<void> {
    await this.report(id, { status: "exited", exitCode, pid: 0, finishedAt: now() });
  }

  /** Takes commands and sends heartbeats, until it is disposed of. */
  async serve(): Promise<AsyncDisposable> {
    const beat = setInterval(() => {
      if (!this.silent) this.#bus.publish(nodeHeartbeat, { nodeId: this.#nodeId, running: 0, memoryUsedBytes: 0 }).catch(() => {});
    }, 500);
    const scope = new AsyncDisposableStack();
    scope.defer(() => clearInterval(beat));
    scope.use(await this.#commands());
    return scope;
  }

  #commands(): Promise<AsyncDisposable> {
    const state = (id: string) => this.change(id, {});
    return this.#bus.serve(`node.${this.#nodeId}`, [
      on(nodeContainerCreate, async ({ id, epoch, mounts }) => {
        this.obey(epoch);
        const known = this.containers.get(id);
        if (known) return { ...known, warnings: [] };
        const made: ContainerState = {
          status: "created", pid: 0, exitCode: 0, error: "", oomKilled: false, startedAt: "0001-01-01T00:00:00Z", finishedAt: "0001-01-01T00:00:00Z", restartCount: 0, networks: {}, ports: {},
          mounts: mounts.map((mount) => ({ Type: mount["Type"], Name: mount["Name"], Source: `/v/${String(mount["Name"])}`, Destination: mount["Destination"], RW: true })), paths: {}, health: null,
        };
        this.containers.set(id, { seq: 1, state: made });
        return { state: made, seq: 1, warnings: [] };
      }),
      on(nodeContainerStart, async ({ id, epoch }) => {
        this.obey(epoch);
        if (this.failure) throw this.failure;
        if (state(id).state.status === "running") return { ...state(id), alreadyStarted: true };
        this.starts.set(id, (this.starts.get(id) ?? 0) + 1);
        return { ...this.change(id, { status: "running", pid: 42, startedAt: now(), networks: { bridge: { IPAddress: "172.17.0.2", EndpointID: "e".repeat(64) } } }), alreadyStarted: false };
      }),
      on(nodeContainerStop, async ({ id }) => {
        if (state(id).state.status !== "running") return { ...state(id), alreadyStopped: true };
        await this.dies(id, 143);
        return { ...this.containers.get(id)!, alreadyStopped: false };
      }),
      on(nodeContainerKill, async ({ id }) => { await this.dies(id, 137); return {}; }),
      on(nodeContainerPause, async ({ id, paused }) => this.change(id, { status: paused ? "paused" : "running" })),
      on(nodeContainerRename, async () => ({})),
      on(nodeContainerUpdate, async ({ id, hostConfig }) => {
        this.change(id, {});
        if (this.failure) throw this.failure;
        this.updates.push(hostConfig);
        return {};
      }),
      on(nodeContainerRemove, async ({ id, volumes }) => {
        const known = this.containers.get(id);
        if (!known) throw fail("NO_SUCH_CONTAINER", `No such container: ${id}`);
        this.containers.delete(id);
        return { removedVolumes: volumes ? known.state.mounts.map((mount) => String(mount["Name"])) : [] };
      }),
      on(nodeContainerSize, async () => ({ sizeRw: 5, sizeRootFs: 105 })),
      on(nodeResync, async ({ epoch }) => (this.obey(epoch), { containers: [...this.containers].map(([id, { seq, state: known }]) => ({ id, seq, state: known })) })),
      on(nodeNetworkCreate, async () => ({})),
      on(nodeNetworkRemove, async () => ({})),
      on(nodeVolumeCreate, async ({ name }) => { this.volumes.add(name); return { mountpoint: `/v/${name}` }; }),
      on(nodeVolumeRemove, async ({ name }) => { this.volumes.delete(name); return {}; }),
    ]);
  }
}

const now = () => rfc3339Nano(systemClock.nowNano());
