import { lstat, mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { fail, type MountPoint } from "@gantry/contracts";
import { errnoOf } from "@gantry/kernel";
import type { Volumes } from "./volumes.ts";

export interface MountSource { readonly point: MountPoint; readonly source: string }

/**
 * Where each mount point lies on this host. Missing volumes are made; a missing bind source is made for `-v`, and INVALID in
 * Docker's words for `--mount`.
 */
export async function mountSources(points: readonly MountPoint[], volumes: Volumes): Promise<MountSource[]> {
  return Promise.all(points.map(async (point) => {
    switch (point.Type) {
      case "tmpfs": return { point, source: "tmpfs" };
      case "volume": {
        const { path } = await volumes.ensure(point.Name);
        if (point.Subpath === "") return { point, source: path };
        const source = join(path, point.Subpath);
        // Links in a volume are its users' own: one on the way to the subpath could lead anywhere on the host.
        let at = path;
        for (const name of point.Subpath.split("/").filter((part) => part !== "")) {
          at = join(at, name);
          const info = await lstat(at).catch(() => null);
          if (info === null || info.isSymbolicLink()) throw fail("INVALID", `cannot access path ${source}: no such file or directory`);
        }
        return { point, source };
      }
      case "bind": return { point, source: await bindSource(point) };
    }
  }));
}

async function bindSource(point: MountPoint): Promise<string> {
  try {
    await stat(point.Source);
  } catch (e) {
    if (errnoOf(e) !== "ENOENT") throw fail("INVALID", `invalid mount config for type "bind": stat ${point.Source}: ${errnoOf(e)}`, { cause: e });
    if (!point.CreateSource) throw fail("INVALID", `invalid mount config for type "bind": bind source path does not exist: ${point.Source}`);
    await mkdir(point.Source, { recursive: true, mode: 0o755 });
  }
  return point.Source;
}

/** Docker's Mounts rows of inspect; `--tmpfs` is not among them. */
export function mountRows(sources: readonly MountSource[], tmpfs: Readonly<Record<string, string>>): Record<string, unknown>[] {
  return sources.filter(({ point }) => !Object.hasOwn(tmpfs, point.Destination)).map(({ point, source }) => ({
    Type: point.Type,
    ...(point.Type === "volume" ? { Name: point.Name } : {}),
    Source: point.Type === "tmpfs" ? "" : source,
    Destination: point.Destination,
    ...(point.Type === "volume" ? { Driver: point.Driver } : {}),
    Mode: point.Mode, RW: point.RW, Propagation: point.Propagation,
  }));
}
