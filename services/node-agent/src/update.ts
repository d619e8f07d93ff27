import { fail, type HostConfig } from "@gantry/contracts";
import { describeError } from "@gantry/kernel";
import type { Agent } from "./context.ts";
import type { Entry } from "./model.ts";
import { cgroupOf, cgroupPath } from "./spec/resources.ts";

/**
 * `docker update`: limits hold at once for a container that runs, else from its next start; the restart policy counts from its next
 * end. Throws INVALID where the kernel refuses a limit; then nothing is kept of it.
 */
export async function updateContainer(agent: Agent, entry: Entry, hostConfig: HostConfig): Promise<void> {
  if (entry.removing) throw fail("CONFLICT", 'container is marked for removal and cannot be "update"');
  const before = entry.spec;
  const limits = (host: HostConfig) => ({
    ...cgroupOf(host, cgroupPath(host, agent.cgroupParent, entry.id), []),
    // Where there was a limit, no limit is one too.
    pids: host.PidsLimit !== null && host.PidsLimit <= 0 ? -1 : host.PidsLimit,
  });
  await entry.running?.update(limits(hostConfig)).catch(async (cause: unknown) => {
    await entry.running?.update(limits(before.hostConfig)).catch((e: unknown) => agent.logger.warn({ err: e, container: entry.id }, "limits before an update that failed could not be put back"));
    throw fail("INVALID", `Cannot update container ${entry.id}: ${describeError(cause)}`, { cause });
  });
  entry.spec = { ...before, hostConfig };
  await agent.store.saveSpec(entry.spec);
}
