import { on, type Route } from "@gantry/bus";
import {
  fail, nodeContainerChanges, nodeContainerCreate, nodeContainerDiff, nodeContainerKill, nodeContainerPause, nodeContainerRemove, nodeContainerRename,
  nodeContainerResize, nodeContainerSize, nodeContainerStart, nodeContainerStop, nodeContainerTop, nodeContainerUpdate, type HostConfig,
} from "@gantry/contracts";
import { checkEpoch, entryOf, type Agent } from "../context.ts";
import { createContainer } from "../create.ts";
import { diffContainer } from "../diff.ts";
import type { Entry } from "../model.ts";
import { removeContainer } from "../remove.ts";
import { report } from "../reports.ts";
import { startContainer } from "../start.ts";
import { killContainer, pauseContainer, stopContainer } from "../stop.ts";
import { top } from "../top.ts";
import { updateContainer } from "../update.ts";

const KIND = { modified: 0, added: 1, deleted: 2 } as const;

/** What the scheduler records of a container: its state and the number of it. */
const told = (entry: Entry) => ({ state: entry.stored.state, seq: entry.stored.seq });

export function containerRoutes(agent: Agent): Route[] {
  /** The container of a command, after its epoch was found good. */
  const commanded = (body: { id: string; epoch: number }): Entry => {
    checkEpoch(agent, body.epoch);
    return entryOf(agent, body.id);
  };

  return [
    on(nodeContainerCreate, async (body) => {
      checkEpoch(agent, body.epoch);
      return agent.order.run(body.id, async () => {
        const { entry, warnings } = await createContainer(agent, body);
        return { ...told(entry), warnings };
      });
    }),

    on(nodeContainerStart, async (body, { messageId }) => {
      const entry = commanded(body);
      return agent.order.run(entry.id, async () => {
        // Done before, by this agent or one that ended before it could say so; it may have ended since.
        if (entry.stored.startKey === messageId) return { ...told(entry), alreadyStarted: false };
        if (agent.entries.get(entry.id) !== entry || entry.removing) throw fail("CONFLICT", "container is marked for removal and cannot be started");
        if (entry.stored.state.status === "paused") throw fail("CONFLICT", "cannot start a paused container, try unpause instead");
        if (entry.running || entry.restart) return { ...told(entry), alreadyStarted: true };
        try {
          entry.stored.lastDelay = 0;
          await startContainer(agent, entry, { restartCount: 0 }, messageId);
        } catch (e) {
          report(agent, entry, null);
          throw e;
        }
        return { ...told(entry), alreadyStarted: false };
      });
    }),

    on(nodeContainerStop, async (body) => {
      const entry = commanded(body);
      const stopped = await stopContainer(agent, entry, body.timeout, body.signal);
      return { ...told(entry), alreadyStopped: !stopped };
    }),

    on(nodeContainerKill, async (body) => {
      await killContainer(agent, commanded(body), body.signal);
      return {};
    }),

    on(nodeContainerPause, async (body) => {
      const entry = commanded(body);
      return agent.order.run(entry.id, async () => {
        await pauseContainer(agent, entry, body.paused);
        return told(entry);
      });
    }),

    on(nodeContainerRename, async (body) => {
      const entry = commanded(body);
      return agent.order.run(entry.id, async () => {
        entry.stored.name = body.name;
        await agent.store.save(entry.id, entry.stored);
        return {};
      });
    }),

    on(nodeContainerUpdate, async (body) => {
      const entry = commanded(body);
      return agent.order.run(entry.id, async () => {
        await updateContainer(agent, entry, body.hostConfig as unknown as HostConfig);
        return {};
      });
    }),

    on(nodeContainerRemove, async (body) => {
      checkEpoch(agent, body.epoch);
      // After a creation that is under way.
      const entry = await agent.order.run(body.id, async () => commanded(body));
      return { removedVolumes: await removeContainer(agent, entry, body) };
    }),

    on(nodeContainerDiff, async (body) => diffContainer(agent, commanded(body), body.pause)),

    on(nodeContainerSize, async ({ id }) => {
      const entry = entryOf(agent, id);
      const sizeRw = await agent.snapshots.usage(id);
      return { sizeRw, sizeRootFs: sizeRw + entry.spec.image.size };
    }),

    on(nodeContainerTop, async ({ id, psArgs }) => top(agent, id, psArgs)),

    on(nodeContainerChanges, async ({ id }) => {
      entryOf(agent, id);
      return { changes: (await agent.snapshots.changes(id)).map(({ path, kind }) => ({ Path: path.startsWith("/") ? path : `/${path}`, Kind: KIND[kind] })) };
    }),

    on(nodeContainerResize, async ({ id, height, width }) => {
      const { running } = entryOf(agent, id);
      if (!running) throw fail("NOT_RUNNING", `container ${id} is not running`);
      await running.resize({ height, width });
      return {};
    }),
  ];
}

