import type { ContainerConfig, ContainerState, EndpointSettings, HostConfig, MountPoint } from "@gantry/contracts";
import type { Placement } from "./placement.ts";

/** What of a container never changes after its creation, but for the networks it is connected to. */
export interface ContainerSpec {
  readonly config: ContainerConfig;
  readonly hostConfig: HostConfig;
  readonly mounts: readonly MountPoint[];
  /** Network ID → what the user asked for there, with the network's name at that time. */
  readonly networks: readonly { id: string; name: string; endpoint: EndpointSettings }[];
  readonly placement: Placement;
  readonly platform: string;
}

/** A container as the scheduler keeps it. */
export interface ContainerRecord {
  readonly id: string;
  /** Without the leading slash. */
  readonly name: string;
  /** RFC 3339 with nanoseconds. */
  readonly created: string;
  readonly nodeId: string;
  readonly imageId: string;
  readonly spec: ContainerSpec;
  readonly state: ContainerState;
  readonly seq: number;
}

/** `starting`, `healthy`, `unhealthy`, or null without a health check. */
export function healthOf(record: ContainerRecord): string | null {
  const status = record.state.health?.["Status"];
  return typeof status === "string" ? status : null;
}
