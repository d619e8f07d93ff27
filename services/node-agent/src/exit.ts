import { rfc3339Nano } from "@gantry/kernel";
import type { ExitStatus, RunningContainer } from "@gantry/runtime";
import type { ContainerState } from "@gantry/contracts";
import type { Agent } from "./context.ts";
import { restartDelay } from "./domain/restart.ts";
import { countExit } from "./metrics.ts";
import type { Entry } from "./model.ts";
import { change, report } from "./reports.ts";

/** How a container is started again. */
export type Start = (agent: Agent, entry: Entry, changes: Partial<ContainerState>) => Promise<void>;

/** Follows a running process to its end. */
export function watch(agent: Agent, entry: Entry, container: RunningContainer, start: Start): void {
  entry.ended = container.exited.then(
    (exit) => agent.order.run(entry.id, () => ended(agent, entry, container, exit, start)),
    (e: unknown) => {
      // The monitor is gone, and with it what the exit code was.
      if (agent.stopping.aborted) return;
      agent.logger.error({ err: e, container: entry.id }, "lost the monitor of a container");
      return agent.order.run(entry.id, () => ended(agent, entry, container, { exitCode: 255, oomKilled: false, finishedAt: agent.clock.nowNano() }, start));
    },
  ).catch((e: unknown) => agent.logger.error({ err: e, container: entry.id }, "could not put away a container that ended"));
}

async function ended(agent: Agent, entry: Entry, container: RunningContainer, exit: ExitStatus, start: Start): Promise<void> {
  if (entry.running !== container) return;
  entry.running = null;
  entry.health?.abort();
  entry.health = null;
  // Before anyone hears of the end: whoever starts another container on it finds the port free.
  if (entry.stored.bindings.length > 0) await agent.network.unpublish(entry.id);
  agent.network.release(entry.id, null);
  const delay = delayAfter(entry, container, exit);
  recordExit(agent, entry, exit, delay === null ? "exited" : "restarting");
  if (delay !== null) {
    entry.stored.lastDelay = delay;
    scheduleRestart(agent, entry, delay, start);
  }
  const saved = agent.store.save(entry.id, entry.stored);
  report(agent, entry, "die", { exitCode: String(exit.exitCode) });
  await Promise.all([saved, agent.network.unregister(entry.id)]);
}

export function recordExit(agent: Agent, entry: Entry, exit: ExitStatus, status: "exited" | "restarting"): void {
  countExit(exit);
  entry.stored.bindings = [];
  change(agent, entry, {
    status, pid: 0, exitCode: exit.exitCode, oomKilled: exit.oomKilled, finishedAt: rfc3339Nano(exit.finishedAt), ports: {},
    networks: Object.fromEntries(Object.entries(entry.stored.state.networks).map(([name, settings]) => [name, released(settings as Record<string, unknown>)])),
  });
}

/** What stays of an endpoint when its container has ended: what was asked for. */
function released(settings: Record<string, unknown>): Record<string, unknown> {
  return { ...settings, EndpointID: "", Gateway: "", IPAddress: "", IPPrefixLen: 0, MacAddress: "", IPv6Gateway: "", GlobalIPv6Address: "", GlobalIPv6PrefixLen: 0 };
}

function delayAfter(entry: Entry, container: RunningContainer, exit: ExitStatus): number | null {
  if (entry.removing) return null;
  return restartDelay(entry.spec.hostConfig.RestartPolicy, {
    exitCode: exit.exitCode, ranMs: Number((exit.finishedAt - container.startedAt) / 1_000_000n), restartCount: entry.stored.state.restartCount,
    stoppedByUser: entry.stored.stoppedByUser, lastDelay: entry.stored.lastDelay,
  });
}

/** Starts the container again after the delay, unless it is stopped, started or removed before. */
export function scheduleRestart(agent: Agent, entry: Entry, delay: number, start: Start): void {
  const restart = new AbortController();
  entry.restart = restart;
  agent.clock.sleep(delay, AbortSignal.any([restart.signal, agent.stopping])).then(() => agent.order.run(entry.id, async () => {
    if (restart.signal.aborted || agent.stopping.aborted) return;
    entry.restart = null;
    await startAgain(agent, entry, start);
  })).catch((e: unknown) => {
    if (!restart.signal.aborted && !agent.stopping.aborted) agent.logger.error({ err: e, container: entry.id }, "could not restart a container");
  });
}

async function startAgain(agent: Agent, entry: Entry, start: Start): Promise<void> {
  try {
    await start(agent, entry, { restartCount: entry.stored.state.restartCount + 1 });
    report(agent, entry, "start");
  } catch (e) {
    agent.logger.warn({ err: e, container: entry.id }, "a container that is to be restarted does not start");
    const delay = restartDelay(entry.spec.hostConfig.RestartPolicy, {
      exitCode: entry.stored.state.exitCode, ranMs: 0, restartCount: entry.stored.state.restartCount + 1, stoppedByUser: false, lastDelay: entry.stored.lastDelay,
    });
    change(agent, entry, { status: delay === null ? "exited" : "restarting", restartCount: entry.stored.state.restartCount + 1 });
    if (delay !== null) {
      entry.stored.lastDelay = delay;
      scheduleRestart(agent, entry, delay, start);
    }
    await agent.store.save(entry.id, entry.stored);
    report(agent, entry, null);
  }
}
