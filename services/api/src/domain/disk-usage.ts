import { isRecord } from "./query.ts";

export interface Usage {
  readonly layersSize: number;
  readonly images: readonly Record<string, unknown>[];
  readonly containers: readonly Record<string, unknown>[];
  readonly volumes: readonly Record<string, unknown>[];
}

/**
 * Body of `GET /system/df`. Images are told how many containers use them; volumes get the UsageData that Docker has (-1:
 * not known).
 */
export function diskUsageBody(usage: Usage, wants: (type: string) => boolean): object {
  const { layersSize, images, containers, volumes } = usage;
  const users = new Map<string, number>();
  const mounts = new Map<string, number>();
  for (const container of containers) {
    count(users, container["ImageID"]);
    for (const mount of Array.isArray(container["Mounts"]) ? container["Mounts"] : []) {
      if (isRecord(mount) && mount["Type"] === "volume") count(mounts, mount["Name"]);
    }
  }
  return {
    LayersSize: layersSize,
    Images: images.map((image) => ({ ...image, Containers: users.get(String(image["Id"])) ?? 0 })),
    Containers: wants("container") ? containers : [],
    Volumes: volumes.map((volume) => ({ ...volume, UsageData: isRecord(volume["UsageData"]) ? volume["UsageData"] : { RefCount: mounts.get(String(volume["Name"])) ?? 0, Size: -1 } })),
    BuildCache: [],
  };
}

function count(counts: Map<string, number>, key: unknown): void {
  if (typeof key === "string") counts.set(key, (counts.get(key) ?? 0) + 1);
}
