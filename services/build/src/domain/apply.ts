import { fail, parseSignal } from "@gantry/contracts";
import type { Command, Healthcheck, Instruction } from "@gantry/dockerfile";
import type { RunConfig } from "@gantry/oci";
import { posix } from "node:path";
import { keyOf } from "./build-args.ts";
import { plainList, quoteHealthcheck, quoteList } from "./go-format.ts";
import { parseExposedPorts } from "./ports.ts";

/** What an instruction without files does: the new settings, and the comment of its history entry. */
export interface Change {
  readonly run: RunConfig;
  readonly comment: string;
  readonly author?: string;
}

export const DEFAULT_SHELL: readonly string[] = ["/bin/sh", "-c"];
export const shellOf = (run: RunConfig): readonly string[] => (run.Shell?.length ? run.Shell : DEFAULT_SHELL);

/** `/bin/sh -c #(nop)  CMD ["x"]`: two spaces, except for COPY, ADD and WORKDIR. */
export const nopCreatedBy = (run: RunConfig, comment: string, spaces: 1 | 2): string =>
  `${shellOf(run).join(" ")} #(nop)${" ".repeat(spaces)}${comment}`;

/** The command line of RUN, CMD or ENTRYPOINT: the shell form goes to the image's shell. */
export function commandLine(run: RunConfig, command: Command): string[] {
  return command.shell && command.args.length > 0 ? [...shellOf(run), command.args[0]!] : [...command.args];
}

/** The pairs with `key` set, in place where it was. */
export function setEnv(env: readonly string[], key: string, value: string): string[] {
  const pair = `${key}=${value}`;
  return env.some((have) => keyOf(have) === key) ? env.map((have) => (keyOf(have) === key ? pair : have)) : [...env, pair];
}

/** WORKDIR is relative to the one before. */
export function resolveWorkdir(current: string, path: string): string {
  const resolved = posix.resolve("/", current, path);
  return resolved === "" ? "/" : resolved;
}

/**
 * The settings after an (expanded) instruction that runs and copies nothing. `cmdSet`: this stage has its own CMD, which an
 * ENTRYPOINT then keeps. WORKDIR gives the settings; making the directory is the caller's. Errors in Docker's words.
 */
export function applyInstruction(run: RunConfig, instruction: Instruction, cmdSet: boolean): Change {
  switch (instruction.name) {
    case "ENV": {
      let env: readonly string[] = run.Env ?? [];
      for (const { key, value } of instruction.pairs) {
        if (key === "") throw fail("INVALID", "ENV names can not be blank");
        env = setEnv(env, key, value);
      }
      return { run: { ...run, Env: [...env] }, comment: `ENV ${pairText(instruction.pairs)}` };
    }
    case "LABEL": {
      if (instruction.pairs.some(({ key }) => key === "")) throw fail("INVALID", "LABEL names can not be blank");
      const labels = { ...run.Labels, ...Object.fromEntries(instruction.pairs.map(({ key, value }) => [key, value])) };
      return { run: { ...run, Labels: labels }, comment: `LABEL ${pairText(instruction.pairs)}` };
    }
    case "ARG":
      return { run, comment: `ARG ${instruction.args.map(({ key, value }) => (value === null ? key : `${key}=${value}`)).join(" ")}` };
    case "CMD": {
      const cmd = commandLine(run, instruction.command);
      return { run: { ...run, Cmd: cmd }, comment: `CMD ${quoteList(cmd)}` };
    }
    case "ENTRYPOINT": {
      const entrypoint = commandLine(run, instruction.command);
      const { Cmd, ...rest } = run;
      const next: RunConfig = { ...rest, Entrypoint: entrypoint };
      if (cmdSet && Cmd) next.Cmd = Cmd;
      return { run: next, comment: `ENTRYPOINT ${quoteList(entrypoint)}` };
    }
    case "WORKDIR": {
      if (instruction.path === "") throw fail("INVALID", "cannot normalize nothing");
      const path = resolveWorkdir(run.WorkingDir ?? "", instruction.path);
      return { run: { ...run, WorkingDir: path }, comment: `WORKDIR ${path}` };
    }
    case "USER":
      return { run: { ...run, User: instruction.user }, comment: `USER ${instruction.user}` };
    case "EXPOSE": {
      const ports = instruction.ports.flatMap(parseExposedPorts);
      const exposed = { ...run.ExposedPorts, ...Object.fromEntries(ports.map((port) => [port, {}])) };
      return { run: { ...run, ExposedPorts: exposed }, comment: `EXPOSE ${instruction.ports.join(" ")}` };
    }
    case "VOLUME": {
      const paths = instruction.paths.map((path) => path.trim());
      if (paths.includes("")) throw fail("INVALID", "VOLUME specified can not be an empty string");
      return { run: { ...run, Volumes: { ...run.Volumes, ...Object.fromEntries(paths.map((path) => [path, {}])) } }, comment: `VOLUME ${plainList(paths)}` };
    }
    case "MAINTAINER":
      return { run, comment: `MAINTAINER ${instruction.maintainer}`, author: instruction.maintainer };
    case "SHELL":
      return { run: { ...run, Shell: [...instruction.shell] }, comment: `SHELL ${plainList(instruction.shell)}` };
    case "STOPSIGNAL":
      parseSignal(instruction.signal);
      return { run: { ...run, StopSignal: instruction.signal }, comment: `STOPSIGNAL ${instruction.signal}` };
    case "HEALTHCHECK":
      return { run: { ...run, Healthcheck: healthConfig(instruction.check) }, comment: `HEALTHCHECK ${quoteHealthcheck(instruction.check)}` };
    case "ONBUILD":
      return { run: { ...run, OnBuild: [...(run.OnBuild ?? []), instruction.expression] }, comment: `ONBUILD ${instruction.expression}` };
    case "RUN":
    case "COPY":
    case "ADD":
      throw new Error(`${instruction.name} is not a change of settings only`);
  }
}

const pairText = (pairs: readonly { key: string; value: string }[]): string => pairs.map(({ key, value }) => `${key}=${value}`).join(" ");

function healthConfig(check: Healthcheck): NonNullable<RunConfig["Healthcheck"]> {
  const config: NonNullable<RunConfig["Healthcheck"]> = { Test: [...check.test] };
  if (check.interval > 0) config.Interval = check.interval;
  if (check.timeout > 0) config.Timeout = check.timeout;
  if (check.startPeriod > 0) config.StartPeriod = check.startPeriod;
  if (check.startInterval > 0) config.StartInterval = check.startInterval;
  if (check.retries > 0) config.Retries = check.retries;
  return config;
}
