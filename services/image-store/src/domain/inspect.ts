import { rfc3339Nano, ZERO_TIME } from "@gantry/kernel";
import type { ImageConfig, RunConfig } from "@gantry/oci";
import type { Catalog, CatalogImage } from "./catalog.ts";
import { familiarReference } from "./names.ts";

/** Fields of the config that Docker 28's inspect shows, in its order; those without a value are left out. */
const CONFIG_FIELDS: readonly (keyof RunConfig)[] = [
  "User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal", "ArgsEscaped",
  "Healthcheck", "OnBuild", "Shell",
];

/** Body of `GET /images/{name}/json` (Docker 28). */
export function inspectImage(catalog: Catalog, image: CatalogImage, config: ImageConfig): Record<string, unknown> {
  const references = catalog.references(image.id);
  const tags = references.filter((ref) => ref.tag !== null);
  const tagged = tags.reduce((latest, ref) => Math.max(latest, catalog.tag(ref.repo, ref.tag!)?.updated ?? 0), 0);
  const run: Record<string, unknown> = {};
  for (const field of CONFIG_FIELDS) {
    const value = config.config?.[field];
    if (!isEmpty(value)) run[field] = value;
  }
  const history = config.history ?? [];
  return {
    Id: image.id,
    RepoTags: tags.map(familiarReference),
    RepoDigests: references.filter((ref) => ref.digest !== null).map(familiarReference),
    Parent: image.parent ?? "",
    Comment: config.comment || history.at(-1)?.comment || "",
    Created: config.created ?? ZERO_TIME,
    DockerVersion: config.docker_version ?? "",
    Author: config.author ?? "",
    Config: run,
    Architecture: config.architecture,
    ...(config.variant ? { Variant: config.variant } : {}),
    Os: config.os,
    ...(config["os.version"] ? { OsVersion: config["os.version"] } : {}),
    Size: image.size,
    GraphDriver: { Data: null, Name: "overlay2" },
    RootFS: { Type: "layers", ...(image.layers.length === 0 ? {} : { Layers: image.layers.map((layer) => layer.diffId) }) },
    Metadata: { LastTagTime: tagged === 0 ? ZERO_TIME : rfc3339Nano(BigInt(tagged) * 1_000_000n) },
  };
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === "" || value === false) return true;
  if (Array.isArray(value)) return value.length === 0;
  return typeof value === "object" && Object.keys(value).length === 0;
}
