import type { HealthConfig } from "@gantry/contracts";
import { newId, rfc3339Nano } from "@gantry/kernel";
import type { Agent } from "./context.ts";
import { afterProbe, intervalOf, probeCommand, timeoutOf, type Health } from "./domain/health.ts";
import { createExec, startExec } from "./execs.ts";
import type { Entry } from "./model.ts";
import { change, report } from "./reports.ts";

const MAX_OUTPUT = 4_096;
const SIGKILL = 9;

/** Runs the container's health check on its interval until its process ends. */
export function startHealthchecks(agent: Agent, entry: Entry): void {
  const config = entry.spec.config.Healthcheck;
  if (entry.stored.state.health === null || config === null || !entry.running) return;
  entry.health?.abort();
  const stop = new AbortController();
  entry.health = stop;
  const startedAt = agent.clock.now();
  entry.stored.state.health = { Status: "starting", FailingStreak: 0, Log: [] };
  loop(agent, entry, config, startedAt, AbortSignal.any([stop.signal, agent.stopping])).catch((e: unknown) => {
    if (!stop.signal.aborted && !agent.stopping.aborted) agent.logger.error({ err: e, container: entry.id }, "health checks ended");
  });
}

async function loop(agent: Agent, entry: Entry, config: HealthConfig, startedAt: number, signal: AbortSignal): Promise<void> {
  for (;;) {
    const before = entry.stored.state.health as unknown as Health;
    await agent.clock.sleep(intervalOf(config, before.Status, agent.clock.now() - startedAt), signal);
    if (entry.stored.state.status !== "running") continue;
    const result = await probe(agent, entry, config, signal);
    if (signal.aborted) return;
    const after = afterProbe(config, before, result, agent.clock.now() - startedAt);
    change(agent, entry, { health: { ...after } });
    const changed = after.Status !== before.Status;
    report(agent, entry, changed ? `health_status: ${after.Status}` : null);
    await agent.store.save(entry.id, entry.stored);
  }
}

async function probe(agent: Agent, entry: Entry, config: HealthConfig, signal: AbortSignal): Promise<{ Start: string; End: string; ExitCode: number; Output: string }> {
  const Start = rfc3339Nano(agent.clock.nowNano());
  const done = (ExitCode: number, Output: string) => ({ Start, End: rfc3339Nano(agent.clock.nowNano()), ExitCode, Output });
  const id = newId();
  const timeoutMs = timeoutOf(config);
  try {
    await createExec(agent, id, entry.id, {
      AttachStdin: false, AttachStdout: true, AttachStderr: true, Tty: false, Env: [], Cmd: probeCommand(config, entry.spec.config.Shell), Privileged: false, User: "",
      WorkingDir: "", DetachKeys: "", ConsoleSize: null,
    });
    const exec = agent.execs.get(id);
    const { stream } = await startExec(agent, exec, { attach: true, consoleSize: null });
    const output = collect(stream);
    const timedOut = await Promise.race([exec.ended.then(() => false), agent.clock.sleep(timeoutMs, signal).then(() => true, () => false)]);
    if (timedOut) {
      await exec.process?.kill(SIGKILL).catch((e: unknown) => agent.logger.debug({ err: e }, "a health check ended before it was killed"));
      await exec.ended;
      return done(-1, `Health check exceeded timeout (${timeoutMs / 1000}s)`);
    }
    return done(exec.exitCode ?? -1, await output);
  } catch (e) {
    return done(-1, e instanceof Error ? e.message : String(e));
  }
}

/** The text of a raw stream, without its frames' headers; cut where it is long. */
async function collect(stream: NodeJS.ReadableStream): Promise<string> {
  let pending = Buffer.alloc(0);
  let text = "";
  try {
    for await (const chunk of stream) {
      pending = Buffer.concat([pending, chunk as Buffer]);
      while (pending.length >= 8 && pending.length >= 8 + pending.readUInt32BE(4)) {
        const end = 8 + pending.readUInt32BE(4);
        if (text.length < MAX_OUTPUT) text += pending.toString("utf8", 8, end);
        pending = pending.subarray(end);
      }
    }
  } catch {
    // A stream cut off with its process: what came is what there is.
  }
  return text.slice(0, MAX_OUTPUT);
}
