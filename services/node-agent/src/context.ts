import type { ContentStore } from "@gantry/content";
import { fail, type NetworkResource } from "@gantry/contracts";
import type { DigestCache } from "@gantry/digest-cache";
import type { Clock, KeyedMutex, Logger } from "@gantry/kernel";
import type { HostNetwork } from "@gantry/network";
import type { NativeFs, Runtime } from "@gantry/runtime";
import type { Snapshotter } from "@gantry/snapshots";
import type { Execs } from "./execs.ts";
import type { Entry } from "./model.ts";
import type { Reporter } from "./reports.ts";
import type { ContainerStore } from "./store.ts";
import type { Volumes } from "./volumes.ts";

/** What the parts of the agent work with. */
export interface Agent {
  readonly nodeId: string;
  readonly instance: string;
  readonly cgroupParent: string;
  /** A directory with the places that every container has something mounted on (mount-points.ts). */
  readonly mountPoints: string;
  readonly heldCapabilities: ReadonlySet<string> | null;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly content: ContentStore;
  readonly cache: DigestCache;
  readonly snapshots: Snapshotter;
  readonly native: NativeFs;
  readonly runtime: Runtime;
  readonly network: HostNetwork;
  /** See networking.ts. */
  readonly ensured: Map<string, string>;
  readonly heard: Map<string, NetworkResource>;
  readonly reporter: Reporter;
  readonly store: ContainerStore;
  readonly volumes: Volumes;
  readonly execs: Execs;
  readonly entries: Map<string, Entry>;
  /** Commands for one container run one at a time, in order. */
  readonly order: KeyedMutex;
  /** Aborts when the agent stops: containers run on, their watchers do not. */
  readonly stopping: AbortSignal;
  /** The lowest scheduler epoch that is obeyed. */
  epoch: number;
}

export function entryOf(agent: Agent, id: string): Entry {
  const entry = agent.entries.get(id);
  if (!entry) throw fail("NO_SUCH_CONTAINER", `No such container: ${id}`);
  return entry;
}

/** Commands of a scheduler that is no longer active are refused, also by the next agent on this host. */
export function checkEpoch(agent: Agent, epoch: number): void {
  if (epoch < agent.epoch) throw fail("STALE_EPOCH", `the command is of epoch ${epoch}, and epoch ${agent.epoch} has begun`);
  if (epoch === agent.epoch) return;
  agent.store.saveEpoch(epoch);
  agent.epoch = epoch;
}
