import type { Bus } from "@gantry/bus";
import type { ContentStore } from "@gantry/content";
import type { Database } from "@gantry/database";
import type { DigestCache } from "@gantry/digest-cache";
import type { HttpClient } from "@gantry/http";
import type { Clock, Logger } from "@gantry/kernel";
import type { NativeFs, NetworkInterface, Runtime } from "@gantry/runtime";
import type { Snapshotter } from "@gantry/snapshots";
import type { BuildDatabase } from "./jobs/schema.ts";

export interface Ports {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Opened with {@link migrations} for the service `build`. */
  readonly database: Database<BuildDatabase>;
  readonly cache: DigestCache;
  /** For the image store; with its credentials the log stream is served. */
  readonly http: HttpClient;
  /** Blobs of the image store: its directory on the same host, or its HTTP routes. */
  readonly content: ContentStore;
  readonly snapshots: Snapshotter;
  readonly native: NativeFs;
  readonly runtime: Runtime;
  readonly stepNetwork: StepNetwork;
}

export interface StepNetworkRequest {
  readonly containerId: string;
  /** "default" (the default bridge), "host", "none", or a network by name or ID. INVALID for what there is not. */
  readonly mode: string;
  readonly hostname: string;
  /** `name:address`, as of `--add-host`. */
  readonly extraHosts: readonly string[];
}

/** A step's place on the network, until it is released. */
export interface StepAttachment extends AsyncDisposable {
  readonly namespace: "new" | "host";
  readonly networks: readonly NetworkInterface[];
  /** Texts of /etc/hosts and /etc/resolv.conf. */
  readonly hosts: string;
  readonly resolvConf: string;
}

/** How steps of a build reach the network: what runs the host's networks supplies it. */
export interface StepNetwork {
  attach(request: StepNetworkRequest): Promise<StepAttachment>;
}
