import type { ContainerConfig, HealthConfig, NameSet } from "@gantry/contracts";
import { fail, parseSignal } from "@gantry/contracts";
import { boolean, integer, nameSet, nullable, object, string, stringMap, strings, type Json } from "./read.ts";

/** Docker's Config as a client sends it, complete: absent fields have Docker's zero values. */
export function readConfig(body: Json): ContainerConfig {
  return {
    Hostname: string(body, "Hostname"),
    Domainname: string(body, "Domainname"),
    User: string(body, "User"),
    AttachStdin: boolean(body, "AttachStdin"),
    AttachStdout: boolean(body, "AttachStdout"),
    AttachStderr: boolean(body, "AttachStderr"),
    ExposedPorts: readPortSet(body),
    Tty: boolean(body, "Tty"),
    OpenStdin: boolean(body, "OpenStdin"),
    StdinOnce: boolean(body, "StdinOnce"),
    Env: strings(body, "Env"),
    Cmd: readArgs(body, "Cmd"),
    Healthcheck: nullable(body, "Healthcheck", readHealthcheck),
    ArgsEscaped: boolean(body, "ArgsEscaped"),
    Image: string(body, "Image"),
    Volumes: nullable(body, "Volumes", nameSet),
    WorkingDir: string(body, "WorkingDir"),
    Entrypoint: readArgs(body, "Entrypoint"),
    NetworkDisabled: boolean(body, "NetworkDisabled"),
    OnBuild: nullable(body, "OnBuild", strings),
    Labels: stringMap(body, "Labels"),
    StopSignal: string(body, "StopSignal"),
    StopTimeout: nullable(body, "StopTimeout", integer),
    Shell: nullable(body, "Shell", strings),
  };
}

/** Docker takes one string for a list of one word. */
function readArgs(body: Json, field: string): string[] | null {
  return typeof body[field] === "string" ? [string(body, field)] : nullable(body, field, strings);
}

function readPortSet(body: Json): NameSet {
  return Object.fromEntries(Object.keys(nameSet(body, "ExposedPorts")).map((port) => [checkPort(port), {}]));
}

/** `80`, `80/tcp` → `80/tcp`. Ranges are expanded by the client. */
export function checkPort(given: string): string {
  const match = /^(\d{1,5})(?:\/([a-zA-Z]+))?$/.exec(given);
  const number = Number(match?.[1]);
  if (!match || number < 1 || number > 65535) throw fail("INVALID", `invalid port specification: "${given}"`);
  const protocol = (match[2] ?? "tcp").toLowerCase();
  if (!["tcp", "udp", "sctp"].includes(protocol)) throw fail("INVALID", `invalid proto: ${protocol}`);
  return `${number}/${protocol}`;
}

function readHealthcheck(source: Json, field: string): HealthConfig {
  const health = object(source[field], field);
  const nano = (name: string) => {
    const value = integer(health, name);
    if (value < 0 || (value > 0 && value < 1_000_000)) throw fail("INVALID", `${name} in Healthcheck cannot be less than 1ms`);
    return value;
  };
  const retries = integer(health, "Retries");
  if (retries < 0) throw fail("INVALID", "Retries in Healthcheck cannot be negative");
  return {
    Test: strings(health, "Test"), Interval: nano("Interval"), Timeout: nano("Timeout"), StartPeriod: nano("StartPeriod"),
    StartInterval: nano("StartInterval"), Retries: retries,
  };
}

/** The `config` of an OCI image config: Docker's Config with everything optional. */
export function imageConfigOf(imageConfig: Json): ContainerConfig {
  return readConfig(object(imageConfig["config"], "config"));
}

/**
 * What the container runs with: the user's config over the image's, by Docker's rules. Lists of exposed ports, volumes,
 * labels and environment are joined; the image's Cmd falls away when the user gives an Entrypoint.
 */
export function mergeConfig(user: ContainerConfig, image: ContainerConfig): ContainerConfig {
  const merged = { ...user };
  if (merged.User === "") merged.User = image.User;
  merged.ExposedPorts = { ...image.ExposedPorts, ...user.ExposedPorts };
  merged.Env = mergeEnv(user.Env, image.Env);
  merged.Labels = { ...image.Labels, ...user.Labels };
  // An Entrypoint of one empty string (docker run --entrypoint "") clears the image's.
  if (user.Entrypoint === null || user.Entrypoint.length === 0) {
    if (user.Cmd === null || user.Cmd.length === 0) {
      merged.Cmd = image.Cmd;
      merged.ArgsEscaped = image.ArgsEscaped;
    }
    merged.Entrypoint = image.Entrypoint;
  } else if (user.Entrypoint.length === 1 && user.Entrypoint[0] === "") {
    merged.Entrypoint = null;
  }
  if (merged.WorkingDir === "") merged.WorkingDir = image.WorkingDir;
  merged.Volumes = image.Volumes === null && user.Volumes === null ? null : { ...image.Volumes, ...user.Volumes };
  if (merged.StopSignal === "") merged.StopSignal = image.StopSignal;
  merged.Healthcheck = mergeHealthcheck(user.Healthcheck, image.Healthcheck);
  if (merged.Shell === null) merged.Shell = image.Shell;
  merged.OnBuild = null;
  if ((merged.Entrypoint ?? []).length === 0 && (merged.Cmd ?? []).length === 0) {
    throw fail("INVALID", "no command specified");
  }
  return merged;
}

const keyOf = (entry: string) => entry.slice(0, entry.indexOf("=") < 0 ? undefined : entry.indexOf("="));

function mergeEnv(user: readonly string[], image: readonly string[]): string[] {
  const mine = new Set(user.map(keyOf));
  return [...user, ...image.filter((entry) => !mine.has(keyOf(entry)))];
}

function mergeHealthcheck(user: HealthConfig | null, image: HealthConfig | null): HealthConfig | null {
  if (user === null) return image;
  if (image === null) return user;
  return {
    Test: user.Test.length > 0 ? user.Test : image.Test,
    Interval: user.Interval || image.Interval,
    Timeout: user.Timeout || image.Timeout,
    StartPeriod: user.StartPeriod || image.StartPeriod,
    StartInterval: user.StartInterval || image.StartInterval,
    Retries: user.Retries || image.Retries,
  };
}

/** Refuses what no node could run, in Docker's words. */
export function checkConfig(config: ContainerConfig): void {
  if (config.WorkingDir !== "" && !config.WorkingDir.startsWith("/")) {
    throw fail("INVALID", `the working directory '${config.WorkingDir}' is invalid, it needs to be an absolute path`);
  }
  for (const entry of config.Env) {
    if (entry === "" || entry.startsWith("=")) throw fail("INVALID", `invalid environment variable: ${entry}`);
  }
  for (const name of [config.Hostname, config.Domainname]) {
    if (name.length > 64 || /[\s\p{Cc}]/u.test(name)) throw fail("INVALID", `invalid hostname: ${name}`);
  }
  if (config.StopSignal !== "") parseSignal(config.StopSignal);
  if (config.StopTimeout !== null && config.StopTimeout < -1) throw fail("INVALID", `invalid stop timeout: ${config.StopTimeout}`);
  const test = config.Healthcheck?.Test ?? [];
  if (test.length > 0 && !["NONE", "CMD", "CMD-SHELL"].includes(test[0]!)) throw fail("INVALID", `Unknown healthcheck type '${test[0]}' in Healthcheck`);
}
