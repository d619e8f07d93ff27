import type { Duplex } from "node:stream";
import type { ContainerConfig, ContainerState, EndpointSettings, HostConfig, MountPoint, NetworkResource, ReplyOf, imageResolve } from "@gantry/contracts";
import type { PortBinding } from "@gantry/network";
import type { AttachOptions, RunningContainer } from "@gantry/runtime";

/** What the scheduler asked for: `spec.json` in the container's directory. Only `docker update` changes it. */
export interface StoredSpec {
  readonly id: string;
  readonly config: ContainerConfig;
  readonly hostConfig: HostConfig;
  readonly mounts: readonly MountPoint[];
  readonly image: ReplyOf<typeof imageResolve>;
}

/** A network of a container and what was asked for there. */
export interface Attachment { readonly network: NetworkResource; readonly endpoint: EndpointSettings }

/** What changes, replaced as a whole: `state.json`. */
export interface StoredState {
  name: string;
  /** Number of the last report; grows for ever. */
  seq: number;
  state: ContainerState;
  networks: Attachment[];
  bindings: PortBinding[];
  startedBefore: boolean;
  stoppedByUser: boolean;
  lastDelay: number;
  /** Key of the command that started it last: the same one, told again, starts nothing. */
  startKey: string | null;
  /** With a user namespace: which part of the host's IDs it has while it runs. */
  userSlot: number | null;
  /** Of the host when it was started last. */
  boot: string | null;
}

/** What a start is about to make, written beside the state before the process may run: an agent that dies in between leaves this. */
export interface StartIntent {
  readonly key: string | null;
  /** StartedAt before it: as long as the state says so, this start is not recorded. */
  readonly after: string;
  /** Nanoseconds since 1970, as text. */
  readonly at: string;
  readonly networks: Record<string, EndpointSettings>;
  readonly bindings: PortBinding[];
  readonly userSlot: number | null;
}

/** A client that attached before the start. */
export interface Waiter {
  readonly options: AttachOptions;
  readonly begin: (stream: Duplex) => void;
  readonly cancel: () => void;
}

/** A container of this node in memory. All but `running` is on disk too. */
export interface Entry {
  readonly id: string;
  readonly dir: string;
  spec: StoredSpec;
  readonly stored: StoredState;
  running: RunningContainer | null;
  /** Settles when the end of the running process was dealt with: network released, state written, report sent. */
  ended: Promise<void>;
  readonly waiters: Set<Waiter>;
  /** Cancels a restart that is waiting for its time. */
  restart: AbortController | null;
  health: AbortController | null;
  removing: boolean;
  starting: boolean;
}

export const isUp = (entry: Entry) => entry.running !== null;
