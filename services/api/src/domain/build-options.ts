import { type BuildSpec, fail } from "@gantry/contracts";
import { parseReference } from "@gantry/oci";
import { bool, integer, isRecord, json, text } from "./query.ts";

/** What `POST /build` asks for, but for where the context comes from. */
export interface BuildRequest {
  readonly spec: Omit<BuildSpec, "context">;
  /** URL of a Dockerfile or of a tar; null: the context is the body. */
  readonly remote: string | null;
}

const MAX_TAGS = 64;
/** Parameters that change what a RUN step may use, and that builds do not know yet: each with what says nothing. */
const NOT_YET: readonly { name: string; flag: string; empty: readonly string[] }[] = [
  { name: "ulimits", flag: "--ulimit", empty: ["", "null", "[]"] },
  { name: "cpuperiod", flag: "--cpu-period", empty: ["", "0"] },
  { name: "cpuquota", flag: "--cpu-quota", empty: ["", "0"] },
  { name: "cpusetcpus", flag: "--cpuset-cpus", empty: [""] },
  { name: "cpusetmems", flag: "--cpuset-mems", empty: [""] },
  { name: "memswap", flag: "--memory-swap", empty: ["", "0"] },
  { name: "cgroupparent", flag: "--cgroup-parent", empty: [""] },
  { name: "securityopt", flag: "--security-opt", empty: ["", "null", "[]"] },
  { name: "isolation", flag: "--isolation", empty: ["", "default"] },
  { name: "outputs", flag: "--output", empty: ["", "null", "[]"] },
];

/** Reads the query of `POST /build`. Throws INVALID, or NOT_IMPLEMENTED with the option's name. */
export function parseBuildRequest(query: URLSearchParams, auth: Record<string, unknown>): BuildRequest {
  if (text(query, "version") === "2") {
    throw fail("INVALID", "this daemon builds with the classic builder, not with BuildKit: set DOCKER_BUILDKIT=0 and try again");
  }
  for (const { name, flag, empty } of NOT_YET) {
    if (!empty.includes(text(query, name))) throw fail("NOT_IMPLEMENTED", `build option ${flag} is not implemented`);
  }
  const tags = query.getAll("t").filter((tag) => tag !== "");
  if (tags.length > MAX_TAGS) throw fail("INVALID", `more than ${MAX_TAGS} tags`);
  for (const tag of tags) {
    if (parseReference(tag).digest !== null) throw fail("INVALID", "build tag cannot contain a digest");
  }
  const remote = text(query, "remote");
  const forceRm = bool(query, "forcerm");
  return {
    remote: remote === "" || remote === "client-session" ? null : remote,
    spec: {
      dockerfile: text(query, "dockerfile") || "Dockerfile",
      tags,
      buildArgs: stringMap(query, "buildargs", true),
      labels: stringMap(query, "labels", false),
      target: text(query, "target"),
      noCache: bool(query, "nocache"),
      pull: bool(query, "pull"),
      rm: forceRm || bool(query, "rm", true) || text(query, "rm") === "",
      forceRm,
      quiet: bool(query, "q"),
      cacheFrom: strings(query, "cachefrom"),
      networkMode: text(query, "networkmode") || "default",
      extraHosts: query.getAll("extrahosts").filter((host) => host !== ""),
      memory: integer(query, "memory") ?? 0,
      cpuShares: integer(query, "cpushares") ?? 0,
      shmSize: integer(query, "shmsize") ?? 0,
      squash: bool(query, "squash"),
      platform: text(query, "platform"),
      auth,
    },
  };
}

function stringMap<Null extends boolean>(query: URLSearchParams, name: string, nulls: Null): Record<string, Null extends true ? string | null : string>;
function stringMap(query: URLSearchParams, name: string, nulls: boolean): Record<string, string | null> {
  const value = json(query, name, {});
  if (!isRecord(value)) throw fail("INVALID", `invalid value for ${name}: not an object`);
  const map: Record<string, string | null> = {};
  for (const [key, item] of Object.entries(value)) {
    if (typeof item !== "string" && !(nulls && item === null)) throw fail("INVALID", `invalid value for ${name}: ${key} is not a string`);
    map[key] = item;
  }
  return map;
}

function strings(query: URLSearchParams, name: string): string[] {
  const value = json(query, name, []);
  if (!Array.isArray(value) || !value.every((v) => typeof v === "string")) throw fail("INVALID", `invalid value for ${name}: not a list of strings`);
  return value;
}
