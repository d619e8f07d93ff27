import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import { errnoOf } from "@gantry/kernel";

/** Where one Gantry on this machine keeps everything, and the names it gives to things of the host. */
export interface StateDirectory {
  readonly dir: string;
  /** 8 hex digits: bridges, firewall table and cgroups carry it, so that several may run side by side. */
  readonly instance: string;
  readonly nodeId: string;
  readonly cgroupParent: string;
  /** `unix:` addresses of the internal HTTP edges. */
  readonly sockets: { readonly imageStore: string; readonly build: string; readonly node: string; readonly spawner: string };
  path(...parts: string[]): string;
}

export const DEFAULT_STATE_DIR = ".gantry";

/** The directory as the user gave it: option, then GANTRY_STATE_DIR, then `.gantry` of the checkout. */
export function stateDirOf(option: string | undefined, root: string): string {
  return resolve(option ?? process.env.GANTRY_STATE_DIR ?? join(root, DEFAULT_STATE_DIR));
}

/** Opens or makes a state directory; a new one gets an instance ID that stays. */
export function openState(dir: string): StateDirectory {
  for (const sub of ["run", "db", "blobs", "containers", "volumes", "build", "base"]) mkdirSync(join(dir, sub), { recursive: true, mode: 0o711 });
  const instance = readOrMake(join(dir, "instance"), () => randomBytes(4).toString("hex"));
  const nodeId = readOrMake(join(dir, "node-id"), () => `${hostname().replace(/[^a-zA-Z0-9_.-]/g, "-").replace(/^[^a-zA-Z0-9]+/, "").slice(0, 40) || "node"}-${instance}`);
  const run = (name: string) => `unix:${join(dir, "run", name)}`;
  return {
    dir,
    instance,
    nodeId,
    cgroupParent: `gantry-${instance}`,
    sockets: { imageStore: run("image-store.sock"), build: run("build.sock"), node: run("node.sock"), spawner: join(dir, "run", "spawner.sock") },
    path: (...parts) => join(dir, ...parts),
  };
}

function readOrMake(file: string, make: () => string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch (e) {
    if (errnoOf(e) !== "ENOENT") throw e;
    const made = make();
    writeFileSync(file, `${made}\n`);
    return made;
  }
}
