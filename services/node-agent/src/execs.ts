import type { Duplex } from "node:stream";
import { fail } from "@gantry/contracts";
import { isGantryError } from "@gantry/kernel";
import type { ExecProcess } from "@gantry/runtime";
import type { Agent } from "./context.ts";
import { entryOf } from "./context.ts";
import { capabilitiesOf } from "./spec/capabilities.ts";
import { containerEnvironment, replaceEnv } from "./spec/environment.ts";
import type { ExecConfig } from "./domain/exec-config.ts";
import { notice } from "./reports.ts";
import { hostnameOf } from "./hostname.ts";

export interface Exec {
  readonly id: string;
  readonly containerId: string;
  readonly config: ExecConfig;
  started: boolean;
  process: ExecProcess | null;
  exitCode: number | null;
  /** Resolves when `exitCode` is known. */
  ended: Promise<void>;
}

const KEPT_PER_CONTAINER = 4_096;
/** How long an exec that ended is kept for `docker inspect`: the CLI asks at once. */
const KEPT_MS = 300_000;

/** Execs of this agent's containers, in memory: Docker too forgets them when its daemon restarts. */
export class Execs {
  readonly #all = new Map<string, Exec>();

  get(id: string): Exec {
    const exec = this.#all.get(id);
    if (!exec) throw fail("NO_SUCH_EXEC", `No such exec instance: ${id}`);
    return exec;
  }

  has(id: string): boolean {
    return this.#all.has(id);
  }

  add(exec: Exec): void {
    const others = [...this.#all.values()].filter((other) => other.containerId === exec.containerId).length;
    if (others >= KEPT_PER_CONTAINER) throw fail("QUEUE_FULL", `container ${exec.containerId} has ${others} exec instances`);
    this.#all.set(exec.id, exec);
  }

  /** Those of a container that is removed. */
  forget(containerId: string): void {
    for (const exec of this.#all.values()) if (exec.containerId === containerId) this.#all.delete(exec.id);
  }

  expire(exec: Exec): void {
    setTimeout(() => this.#all.delete(exec.id), KEPT_MS).unref();
  }
}

export async function createExec(agent: Agent, id: string, containerId: string, config: ExecConfig): Promise<void> {
  if (agent.execs.has(id)) return;
  const entry = entryOf(agent, containerId);
  if (!entry.running) throw fail("NOT_RUNNING", `container ${containerId} is not running`);
  if (entry.stored.state.status === "paused") throw fail("CONFLICT", `Container ${containerId} is paused, unpause the container before exec`);
  agent.execs.add({ id, containerId, config, started: false, process: null, exitCode: null, ended: Promise.resolve() });
  notice(agent, containerId, `exec_create: ${config.Cmd.join(" ")}`, { execID: id });
}

export interface StartedExec { readonly stream: Duplex }

/**
 * Starts an exec once. What the runtime says of a program that cannot be started is thrown, and the exec's exit code is 126 or 127,
 * as Docker's.
 */
export async function startExec(agent: Agent, exec: Exec, options: { attach: boolean; consoleSize: readonly [number, number] | null }): Promise<StartedExec> {
  const { config, containerId } = exec;
  const entry = entryOf(agent, containerId);
  if (exec.started) throw fail("CONFLICT", `exec ${exec.id} has already been started`);
  if (!entry.running) throw fail("NOT_RUNNING", `container ${containerId} is not running`);
  if (entry.stored.state.status === "paused") throw fail("CONFLICT", `Container ${containerId} is paused, unpause the container before exec`);
  exec.started = true;
  const [height, width] = options.consoleSize ?? config.ConsoleSize ?? [0, 0];
  const container = entry.spec;
  const environment = containerEnvironment({ hostname: hostnameOf(agent, entry), terminal: config.Tty, env: container.config.Env });
  try {
    const process = await entry.running.exec({
      id: exec.id, args: config.Cmd, env: replaceEnv(environment, config.Env), cwd: config.WorkingDir || container.config.WorkingDir || "/",
      user: config.User || container.config.User, additionalGroups: container.hostConfig.GroupAdd ?? [], terminal: config.Tty, consoleHeight: height, consoleWidth: width,
      stdin: options.attach && config.AttachStdin, stdout: options.attach && config.AttachStdout, stderr: options.attach && config.AttachStderr,
      privileged: config.Privileged,
      capabilities: capabilitiesOf(config.Privileged ? { Privileged: true, CapAdd: null, CapDrop: null } : container.hostConfig, agent.heldCapabilities),
      noNewPrivileges: (container.hostConfig.SecurityOpt ?? []).some((option) => /^no-new-privileges(?:[=:]true)?$/.test(option)),
    });
    exec.process = process;
    exec.ended = follow(agent, exec, process);
    notice(agent, containerId, `exec_start: ${config.Cmd.join(" ")}`, { execID: exec.id });
    return { stream: process.stream };
  } catch (e) {
    exec.exitCode = isGantryError(e) && typeof e.details["exitCode"] === "number" ? e.details["exitCode"] : 126;
    agent.execs.expire(exec);
    throw e;
  }
}

async function follow(agent: Agent, exec: Exec, process: ExecProcess): Promise<void> {
  try {
    exec.exitCode = (await process.exited).exitCode;
  } catch (e) {
    agent.logger.warn({ err: e, exec: exec.id }, "lost an exec process");
    exec.exitCode = 255;
  }
  agent.execs.expire(exec);
  notice(agent, exec.containerId, "exec_die", { execID: exec.id, exitCode: String(exec.exitCode) });
}

/** Docker's body of `GET /exec/{id}/json`. */
export function inspectExec(exec: Exec): Record<string, unknown> {
  const [entrypoint = "", ...args] = exec.config.Cmd;
  return {
    ID: exec.id, Running: exec.process !== null && exec.exitCode === null, ExitCode: exec.exitCode,
    ProcessConfig: { tty: exec.config.Tty, entrypoint, arguments: args, privileged: exec.config.Privileged, ...(exec.config.User === "" ? {} : { user: exec.config.User }) },
    OpenStdin: exec.config.AttachStdin, OpenStderr: exec.config.AttachStderr, OpenStdout: exec.config.AttachStdout, CanRemove: false,
    ContainerID: exec.containerId, DetachKeys: "", Pid: exec.process?.pid ?? 0,
  };
}
