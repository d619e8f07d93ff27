import { fail } from "@gantry/contracts";
import { DockerfileError, expandInstruction, parseTrigger, type Instruction } from "@gantry/dockerfile";
import type { RunConfig } from "@gantry/oci";
import { posix } from "node:path";

const ALLOWED = new Set<Instruction["name"]>(["CMD", "ENTRYPOINT", "HEALTHCHECK", "ENV", "EXPOSE", "LABEL", "ONBUILD", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"]);

/** Applies `--change` instructions to a config, each after the one before. Throws INVALID in Docker's words. */
export function applyChanges(config: RunConfig, changes: readonly string[]): RunConfig {
  return changes.reduce((current, text) => applyChange(current, text), config);
}

function applyChange(config: RunConfig, text: string): RunConfig {
  let instruction: Instruction;
  try {
    instruction = parseTrigger(text);
    if (!ALLOWED.has(instruction.name)) throw fail("INVALID", `${instruction.name.toLowerCase()} is not a valid change command`);
    const env = (config.Env ?? []).map((pair) => pair.split(/=(.*)/s) as [string, string | undefined]);
    instruction = expandInstruction(instruction, new Map(env.map(([key, value]) => [key, value ?? ""])), "\\");
  } catch (e) {
    if (e instanceof DockerfileError) throw fail("INVALID", e.message, { cause: e });
    throw e;
  }
  const command = (shell: boolean, args: readonly string[]): string[] => (shell ? [...config.Shell ?? ["/bin/sh", "-c"], ...args] : [...args]);
  switch (instruction.name) {
    case "CMD": return { ...config, Cmd: command(instruction.command.shell, instruction.command.args) };
    case "ENTRYPOINT": return { ...config, Entrypoint: command(instruction.command.shell, instruction.command.args) };
    case "ENV": return { ...config, Env: instruction.pairs.reduce((env, { key, value }) => [...env.filter((pair) => !pair.startsWith(`${key}=`)), `${key}=${value}`], config.Env ?? []) };
    case "LABEL": return { ...config, Labels: { ...config.Labels, ...Object.fromEntries(instruction.pairs.map(({ key, value }) => [key, value])) } };
    case "EXPOSE": return { ...config, ExposedPorts: { ...config.ExposedPorts, ...Object.fromEntries(instruction.ports.flatMap(portsOf).map((port) => [port, {}])) } };
    case "VOLUME": return { ...config, Volumes: { ...config.Volumes, ...Object.fromEntries(instruction.paths.map((path) => [path, {}])) } };
    case "USER": return { ...config, User: instruction.user };
    case "WORKDIR": return { ...config, WorkingDir: posix.resolve("/", config.WorkingDir ?? "", instruction.path) };
    case "STOPSIGNAL": return { ...config, StopSignal: instruction.signal };
    case "ONBUILD": return { ...config, OnBuild: [...config.OnBuild ?? [], instruction.expression] };
    case "HEALTHCHECK": {
      const { test, interval, timeout, startPeriod, startInterval, retries } = instruction.check;
      return { ...config, Healthcheck: { Test: [...test], Interval: interval, Timeout: timeout, StartPeriod: startPeriod, StartInterval: startInterval, Retries: retries } };
    }
    default: throw fail("INVALID", `${instruction.name.toLowerCase()} is not a valid change command`);
  }
}

/** `80`, `80/udp`, `8000-8002/tcp` → one name each. Throws INVALID. */
function portsOf(text: string): string[] {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/i.exec(text);
  const first = Number(match?.[1]), last = Number(match?.[2] ?? match?.[1]);
  if (match === null || first > last || last > 65535) throw fail("INVALID", `Invalid containerPort: ${text}`);
  return Array.from({ length: last - first + 1 }, (_, i) => `${first + i}/${(match[3] ?? "tcp").toLowerCase()}`);
}
