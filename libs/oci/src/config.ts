import { Type as T, type Static, type TSchema } from "typebox";

/** Go leaves out, or writes null, where there is nothing. */
const Maybe = <S extends TSchema>(schema: S) => T.Optional(T.Union([schema, T.Null()]));
const Strings = T.Array(T.String(), { maxItems: 10_000 });
const Digest = T.String({ pattern: "^sha256:[0-9a-f]{64}$" });

/** Docker's HEALTHCHECK; durations in nanoseconds. */
export const Healthcheck = T.Object({
  /** `["NONE"]`, `["CMD", …]`, `["CMD-SHELL", text]`; empty: inherit. */
  Test: Maybe(Strings),
  Interval: T.Optional(T.Integer()),
  Timeout: T.Optional(T.Integer()),
  StartPeriod: T.Optional(T.Integer()),
  StartInterval: T.Optional(T.Integer()),
  Retries: T.Optional(T.Integer()),
});
export type Healthcheck = Static<typeof Healthcheck>;

/** How to run the image: OCI image-spec `config`, with the fields that Docker adds. */
export const RunConfig = T.Object({
  User: T.Optional(T.String()),
  Env: Maybe(Strings),
  Cmd: Maybe(Strings),
  Entrypoint: Maybe(Strings),
  WorkingDir: T.Optional(T.String()),
  ExposedPorts: Maybe(T.Record(T.String(), T.Unknown())),
  Volumes: Maybe(T.Record(T.String(), T.Unknown())),
  Labels: Maybe(T.Record(T.String(), T.String())),
  StopSignal: T.Optional(T.String()),
  StopTimeout: Maybe(T.Integer()),
  Shell: Maybe(Strings),
  Healthcheck: Maybe(Healthcheck),
  OnBuild: Maybe(Strings),
  ArgsEscaped: T.Optional(T.Boolean()),
});
export type RunConfig = Static<typeof RunConfig>;

export const History = T.Object({
  created: Maybe(T.String()),
  created_by: T.Optional(T.String()),
  author: T.Optional(T.String()),
  comment: T.Optional(T.String()),
  /** True where the step made no layer. */
  empty_layer: T.Optional(T.Boolean()),
});
export type History = Static<typeof History>;

/** OCI image config, with the fields that Docker adds. Fields not listed are kept in the text and ignored. */
export const ImageConfig = T.Object({
  created: Maybe(T.String()),
  author: T.Optional(T.String()),
  architecture: T.String(),
  os: T.String(),
  variant: T.Optional(T.String()),
  "os.version": T.Optional(T.String()),
  "os.features": Maybe(Strings),
  config: Maybe(RunConfig),
  rootfs: T.Object({ type: T.String(), diff_ids: T.Union([T.Array(Digest, { maxItems: 10_000 }), T.Null()]) }),
  history: Maybe(T.Array(History, { maxItems: 10_000 })),
  docker_version: T.Optional(T.String()),
  comment: T.Optional(T.String()),
});
export type ImageConfig = Static<typeof ImageConfig>;

/** Diff IDs, bottom first. */
export function diffIdsOf(config: ImageConfig): string[] {
  return config.rootfs.diff_ids ?? [];
}

/**
 * Canonical JSON text of a new config: keys sorted at every depth, no white space, nothing undefined. Its digest is the
 * image ID, so the same config always gives the same image.
 */
export function imageConfigText(config: ImageConfig): string {
  return canonicalJson(config);
}

/** JSON with sorted keys. Values that JSON has no form for are left out, as JSON.stringify does. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(sorted(value));
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  // A null prototype: a key named __proto__ stays an ordinary key.
  const result: Record<string, unknown> = Object.create(null);
  for (const key of Object.keys(value).sort()) result[key] = sorted((value as Record<string, unknown>)[key]);
  return result;
}
