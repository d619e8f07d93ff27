import { fail, type HostConfig } from "@gantry/contracts";
import type { IdMapping } from "@gantry/runtime";
import { readSecurityOptions } from "./security.ts";

/** IDs of one container, and where on the host the first container's begin: above those of people and of services. */
const SIZE = 65_536;
const FIRST = 1 << 20;
const SLOTS = 16_384;

/** Whether the container gets a user namespace of its own. INVALID together with what cannot be had in one, in Docker's words. */
export function wantsUserNamespace(host: HostConfig): boolean {
  const wanted = host.UsernsMode === "private" || readSecurityOptions(host.SecurityOpt ?? [], host.Privileged).userNamespace;
  if (!wanted) return false;
  if (host.Privileged) throw fail("INVALID", "privileged mode is incompatible with user namespaces. You must run the container in the host namespace when running privileged mode");
  const shared = ([["network", host.NetworkMode], ["PID", host.PidMode], ["IPC", host.IpcMode]] as const).find(([, mode]) => mode === "host" || mode.startsWith("container:"));
  if (shared) throw fail("INVALID", `cannot share the ${shared[0]} namespace of ${shared[1]} when user namespaces are enabled`);
  return true;
}

/** The mapping of a slot: each running container has its own IDs on the host, so that none can signal another's processes. */
export function mappingOf(slot: number): IdMapping[] {
  return [{ containerId: 0, hostId: FIRST + slot * SIZE, size: SIZE }];
}

/** The first slot that no running container has. */
export function freeSlot(taken: ReadonlySet<number>): number {
  for (let slot = 0; slot < SLOTS; slot++) if (!taken.has(slot)) return slot;
  throw fail("UNAVAILABLE", `no user IDs are free: ${SLOTS} containers with user namespaces run on this host`);
}
