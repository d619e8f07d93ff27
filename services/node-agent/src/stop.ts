import { fail, parseSignal } from "@gantry/contracts";
import { isGantryError } from "@gantry/kernel";
import type { Agent } from "./context.ts";
import type { Entry } from "./model.ts";
import { change, notice, report } from "./reports.ts";

const KILL = 9;
const CONT = 18;
/** How long a killed process may take to be gone (an uninterruptible call) before the user is told. */
const KILL_WAIT_MS = 30_000;

/** Resolves true when the process has ended and that was dealt with, false after `ms`; 0 or less never waits in vain. */
async function endsWithin(agent: Agent, entry: Entry, ms: number): Promise<boolean> {
  const giveUp = new AbortController();
  try {
    return await Promise.race([
      entry.ended.then(() => true),
      ms < 0 ? new Promise<never>(() => {}) : agent.clock.sleep(ms, giveUp.signal).then(() => false, () => true),
    ]);
  } finally {
    giveUp.abort();
  }
}

/** Sends a signal and tells `docker events`. False when the process had ended. A frozen process is thawed to die. */
async function signal(agent: Agent, entry: Entry, number: number): Promise<boolean> {
  const { running } = entry;
  if (!running) return false;
  // Told first, so that it comes before the death it brings.
  notice(agent, entry.id, "kill", { signal: String(number) });
  try {
    await running.kill(number);
    if (entry.stored.state.status === "paused" && number === KILL) {
      await running.resume();
      change(agent, entry, { status: "running" });
    }
  } catch (e) {
    if (isGantryError(e, "NOT_RUNNING")) return false;
    throw e;
  }
  return true;
}

/** A restart that waits for its time does not come. True when there was one. */
export async function cancelRestart(agent: Agent, entry: Entry): Promise<boolean> {
  if (!entry.restart) return false;
  entry.restart.abort();
  entry.restart = null;
  change(agent, entry, { status: "exited" });
  await agent.store.save(entry.id, entry.stored);
  return true;
}

/**
 * Docker's stop: the signal, then SIGKILL when the timeout (seconds; negative: none) is over. False when it did not run.
 * Takes the container's turn only to send the signal: the end of the process needs it too.
 */
export async function stopContainer(agent: Agent, entry: Entry, timeout: number | null, given: string | null): Promise<boolean> {
  const { config } = entry.spec;
  const seconds = timeout ?? config.StopTimeout ?? 10;
  const number = parseSignal(given ?? (config.StopSignal === "" ? "SIGTERM" : config.StopSignal));
  const before = await agent.order.run(entry.id, async () => {
    if (await cancelRestart(agent, entry)) return "waiting" as const;
    if (!entry.running) return "stopped" as const;
    entry.stored.stoppedByUser = true;
    if (entry.stored.state.status === "paused") {
      await entry.running.resume();
      change(agent, entry, { status: "running" });
    }
    await signal(agent, entry, number);
    return "running" as const;
  });
  if (before !== "running") return before === "waiting";
  if (await endsWithin(agent, entry, seconds < 0 ? -1 : seconds * 1000)) return true;
  await killAndWait(agent, entry);
  return true;
}

export async function killAndWait(agent: Agent, entry: Entry): Promise<void> {
  if (!await signal(agent, entry, KILL)) return entry.ended;
  if (!await endsWithin(agent, entry, KILL_WAIT_MS)) {
    throw fail("INTERNAL", `tried to kill container, but did not receive an exit event: container ${entry.id} PID ${entry.running?.pid ?? 0} is in an uninterruptible call`);
  }
}

/** `docker kill`: SIGKILL waits for the end, as Docker does; other signals do not. */
export async function killContainer(agent: Agent, entry: Entry, given: string): Promise<void> {
  const number = parseSignal(given);
  const notRunning = () => fail("NOT_RUNNING", `cannot kill container: ${entry.stored.name}: container ${entry.id} is not running`);
  await agent.order.run(entry.id, async () => {
    if (await cancelRestart(agent, entry)) { report(agent, entry, null); return; }
    if (!entry.running) throw notRunning();
    // Docker's rule: whoever kills with the container's own stop signal, or for good, does not want it back.
    if (number === KILL || number === parseSignal(entry.spec.config.StopSignal || "SIGTERM")) entry.stored.stoppedByUser = true;
    if (number === CONT && entry.stored.state.status === "paused") await entry.running.resume();
    if (!await signal(agent, entry, number)) throw notRunning();
  });
  if (number === KILL && !await endsWithin(agent, entry, KILL_WAIT_MS)) agent.logger.warn({ container: entry.id }, "killed, and not gone yet");
}

export async function pauseContainer(agent: Agent, entry: Entry, paused: boolean): Promise<void> {
  const { running } = entry;
  if (!running) throw fail("NOT_RUNNING", `Container ${entry.id} is not running`);
  if (paused === (entry.stored.state.status === "paused")) throw fail("CONFLICT", `Container ${entry.id} is ${paused ? "already" : "not"} paused`);
  await (paused ? running.pause() : running.resume());
  change(agent, entry, { status: paused ? "paused" : "running" });
  await agent.store.save(entry.id, entry.stored);
}
