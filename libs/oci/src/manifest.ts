import { Type as T, type Static, type TSchema } from "typebox";

const Maybe = <S extends TSchema>(schema: S) => T.Optional(T.Union([schema, T.Null()]));
const Digest = T.String({ pattern: "^sha256:[0-9a-f]{64}$" });

export const Platform = T.Object({
  os: T.String({ maxLength: 64 }),
  architecture: T.String({ maxLength: 64 }),
  variant: T.Optional(T.String({ maxLength: 64 })),
  "os.version": T.Optional(T.String()),
  "os.features": Maybe(T.Array(T.String())),
});
export type Platform = Static<typeof Platform>;

/** OCI image-spec descriptor. */
export const Descriptor = T.Object({
  mediaType: T.String({ maxLength: 255 }),
  digest: Digest,
  size: T.Integer({ minimum: 0 }),
  annotations: Maybe(T.Record(T.String(), T.String())),
  platform: Maybe(Platform),
  artifactType: T.Optional(T.String()),
  urls: Maybe(T.Array(T.String())),
});
export type Descriptor = Static<typeof Descriptor>;

/** OCI image manifest, or Docker's schema 2 of the same shape. */
export const Manifest = T.Object({
  schemaVersion: T.Literal(2),
  mediaType: T.Optional(T.String({ maxLength: 255 })),
  artifactType: T.Optional(T.String({ maxLength: 255 })),
  config: Descriptor,
  layers: T.Array(Descriptor, { maxItems: 10_000 }),
  subject: Maybe(Descriptor),
  annotations: Maybe(T.Record(T.String(), T.String())),
});
export type Manifest = Static<typeof Manifest>;

/** OCI image index, or Docker's manifest list. */
export const Index = T.Object({
  schemaVersion: T.Literal(2),
  mediaType: T.Optional(T.String({ maxLength: 255 })),
  artifactType: T.Optional(T.String({ maxLength: 255 })),
  manifests: T.Array(Descriptor, { maxItems: 10_000 }),
  subject: Maybe(Descriptor),
  annotations: Maybe(T.Record(T.String(), T.String())),
});
export type Index = Static<typeof Index>;
