import { createLogger, type LogLevel } from "@gantry/telemetry";
import { systemClock, type Logger, type Scope } from "@gantry/kernel";
import { openHostNetwork, type HostNetwork } from "@gantry/network";
import { loadNative, startRuntime, type NativeFs, type Runtime } from "@gantry/runtime";
import { openSnapshots, type Snapshotter } from "@gantry/snapshots";
import type { StateDirectory } from "../state.ts";

/** What runs containers on this host, as one state directory has it. */
export interface Host {
  readonly native: NativeFs;
  readonly runtime: Runtime;
  readonly snapshots: Snapshotter;
  readonly network: HostNetwork;
}

export async function openHost(state: StateDirectory, logger: Logger, scope: Scope): Promise<Host> {
  const native = loadNative();
  const [runtime, snapshots, network] = await Promise.all([
    startRuntime({ socket: state.sockets.spawner }),
    openSnapshots({ dir: state.path("snapshots"), native: native.fs, logger }),
    openHostNetwork({ native: native.net, instance: state.instance, clock: systemClock, logger }),
  ]);
  scope.use(network);
  scope.use(snapshots);
  scope.use(runtime);
  return { native: native.fs, runtime, snapshots, network };
}

export function loggerOf(level: string): Logger {
  return createLogger({ service: "gantry", level: level as LogLevel });
}
