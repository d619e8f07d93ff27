import { fail, type ContainerConfig } from "@gantry/contracts";
import { checkPort } from "./config.ts";
import { object, type Json } from "./read.ts";

export interface CommittedLayer { diffId: string; empty: boolean }

/** `docker commit -c`: one Dockerfile instruction that changes the config. Others are refused in Docker's words. */
export function applyChange(config: ContainerConfig, line: string): void {
  const match = /^\s*([A-Za-z]+)\s+([\s\S]*\S)\s*$/.exec(line);
  if (!match) throw fail("INVALID", `dockerfile parse error: ${line}: instruction requires at least one argument`);
  const [name, rest] = [match[1]!.toUpperCase(), match[2]!];
  switch (name) {
    case "CMD": config.Cmd = command(rest); config.ArgsEscaped = false; return;
    case "ENTRYPOINT": config.Entrypoint = command(rest); return;
    case "ENV": for (const [key, value] of pairs(name, rest)) config.Env = [...config.Env.filter((e) => e.split("=", 1)[0] !== key), `${key}=${value}`]; return;
    case "LABEL": for (const [key, value] of pairs(name, rest)) config.Labels = { ...config.Labels, [key]: value }; return;
    case "EXPOSE": for (const port of words(rest)) config.ExposedPorts = { ...config.ExposedPorts, [checkPort(port)]: {} }; return;
    case "USER": config.User = rest; return;
    case "WORKDIR": config.WorkingDir = rest.startsWith("/") ? rest : `${config.WorkingDir.replace(/\/$/, "")}/${rest}`; return;
    case "STOPSIGNAL": config.StopSignal = rest; return;
    case "ONBUILD": config.OnBuild = [...(config.OnBuild ?? []), rest]; return;
    case "VOLUME": {
      const paths = jsonList(rest) ?? words(rest);
      config.Volumes = { ...config.Volumes, ...Object.fromEntries(paths.map((path) => [path, {}])) };
      return;
    }
    default: throw fail("INVALID", `${match[1]} is not a valid change command`);
  }
}

function jsonList(text: string): string[] | null {
  if (!text.startsWith("[")) return null;
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) && value.every((v) => typeof v === "string") ? value : null;
  } catch {
    return null;
  }
}

const command = (text: string) => jsonList(text) ?? ["/bin/sh", "-c", text];

/** Words separated by blanks, with double and single quotes and backslash. */
function words(text: string): string[] {
  return [...text.matchAll(/(?:"(?:\\.|[^"\\])*"|'[^']*'|\\.|[^\s"'\\])+/gs)].map(([word]) =>
    word.replace(/"((?:\\.|[^"\\])*)"|'([^']*)'|\\(.)/gs, (_, double?: string, single?: string, one?: string) =>
      double !== undefined ? double.replace(/\\(["\\$])/g, "$1") : single ?? one ?? ""));
}

/** `k=v k2=v2`, or `k the rest` for one. */
function pairs(name: string, text: string): [string, string][] {
  const found = words(text);
  if (!found[0]!.includes("=")) {
    if (found.length < 2) throw fail("INVALID", `${name} must have two arguments`);
    return [[found[0]!, text.slice(text.search(/\s/)).trim()]];
  }
  return found.map((word) => {
    const at = word.indexOf("=");
    if (at < 1) throw fail("INVALID", `Syntax error - can't find = in "${word}". Must be of the form: name=value`);
    return [word.slice(0, at), word.slice(at + 1)];
  });
}

/** The image config of a committed container: the parent's, with the container's config, and one more layer and history row. */
export function committedConfig(options: {
  parent: Json; config: ContainerConfig; containerId: string; layer: CommittedLayer; created: string; author: string; comment: string;
}): Record<string, unknown> {
  const { parent, config, layer, created, author, comment } = options;
  const rootfs = object(parent["rootfs"], "rootfs");
  const diffIds = Array.isArray(rootfs["diff_ids"]) ? rootfs["diff_ids"] : [];
  const history = Array.isArray(parent["history"]) ? parent["history"] : [];
  return {
    ...parent,
    ...(author === "" ? {} : { author }),
    created,
    config: imageConfig(config),
    container: options.containerId,
    rootfs: { type: "layers", diff_ids: layer.empty ? diffIds : [...diffIds, layer.diffId] },
    history: [...history, {
      created, ...(author === "" ? {} : { author }), created_by: (config.Cmd ?? []).join(" "), ...(comment === "" ? {} : { comment }),
      ...(layer.empty ? { empty_layer: true } : {}),
    }],
  };
}

/** Docker keeps the container's whole Config in the image; what belongs to one run (its streams, its host name) is left out. */
function imageConfig(config: ContainerConfig): Record<string, unknown> {
  const kept: Record<string, unknown> = { User: config.User, ExposedPorts: config.ExposedPorts, Env: config.Env, Cmd: config.Cmd, Healthcheck: config.Healthcheck,
    Volumes: config.Volumes, WorkingDir: config.WorkingDir, Entrypoint: config.Entrypoint, OnBuild: config.OnBuild, Labels: config.Labels,
    StopSignal: config.StopSignal, Shell: config.Shell };
  return Object.fromEntries(Object.entries(kept).filter(([, value]) => value !== null && value !== "" && !(typeof value === "object" && Object.keys(value as object).length === 0)));
}
