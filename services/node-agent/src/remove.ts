import { fail } from "@gantry/contracts";
import { isGantryError } from "@gantry/kernel";
import type { Agent } from "./context.ts";
import type { Entry } from "./model.ts";
import { cancelRestart, killAndWait } from "./stop.ts";

/** Container, writable snapshot and directory; with `volumes` its anonymous ones that no other container of this node uses. Answers their names. */
export async function removeContainer(agent: Agent, entry: Entry, options: { force: boolean; volumes: boolean }): Promise<string[]> {
  const { id } = entry;
  await agent.order.run(id, async () => {
    if (entry.restart && options.force) await cancelRestart(agent, entry);
    if ((entry.running || entry.restart) && !options.force) {
      throw fail("RUNNING", `cannot remove container "/${entry.stored.name}": container is running: stop the container before removing or force remove`);
    }
    entry.removing = true;
  });
  try {
    if (entry.running) await killAndWait(agent, entry);
    await entry.ended;
    return await agent.order.run(id, async () => {
      if (agent.entries.get(id) !== entry) return [];
      for (const waiter of entry.waiters) waiter.cancel();
      await agent.snapshots.remove(id);
      await agent.store.remove(id);
      agent.entries.delete(id);
      agent.execs.forget(id);
      return options.volumes ? removeAnonymous(agent, entry) : [];
    });
  } finally {
    entry.removing = false;
  }
}

async function removeAnonymous(agent: Agent, entry: Entry): Promise<string[]> {
  const used = new Set([...agent.entries.values()].flatMap((other) => other.spec.mounts.map((mount) => mount.Name)));
  const removed: string[] = [];
  for (const mount of entry.spec.mounts) {
    if (mount.Type !== "volume" || !mount.Anonymous || used.has(mount.Name)) continue;
    try {
      await agent.volumes.remove(mount.Name);
    } catch (e) {
      if (!isGantryError(e, "NO_SUCH_VOLUME")) throw e;
    }
    removed.push(mount.Name);
  }
  return removed;
}
