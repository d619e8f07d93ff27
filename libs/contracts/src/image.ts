import { Type as T, type Static } from "typebox";
import { Digest, Empty, Filters, Nullable, Opaque, Ref } from "./common.ts";
import { command, query } from "./message.ts";

/** One layer of an image, as the store knows it. `digest` is that of the stored blob (compressed or not). */
export const LayerInfo = T.Object({
  diffId: Digest,
  chainId: Digest,
  digest: Digest,
  mediaType: T.String(),
  /** Bytes of the stored blob. */
  blobSize: T.Integer({ minimum: 0 }),
  /** Bytes of the uncompressed tar's files: what `docker history` shows. */
  size: T.Integer({ minimum: 0 }),
});
export type LayerInfo = Static<typeof LayerInfo>;

/** What a builder or a node needs to use an image. `config` is the OCI image config, parsed. */
export const ResolvedImage = T.Object({
  id: Digest,
  config: Opaque,
  layers: T.Array(LayerInfo),
  repoTags: T.Array(T.String()),
  repoDigests: T.Array(T.String()),
  parent: Nullable(Digest),
  size: T.Integer({ minimum: 0 }),
});
export type ResolvedImage = Static<typeof ResolvedImage>;

/** NO_SUCH_IMAGE in Docker's words (`No such image: foo:latest`). */
export const imageResolve = query("image-store.image.resolve.v1", T.Object({ ref: Ref }), ResolvedImage);

/** Body of `GET /images/json` (Docker's ImageSummary). */
export const imageList = query("image-store.image.list.v1",
  T.Object({ all: T.Boolean(), filters: Filters, digests: T.Boolean(),
    /** Also fills SharedSize, which is -1 otherwise: bytes of layers that other listed images have too. */
    sharedSize: T.Optional(T.Boolean()) }), T.Object({ images: T.Array(Opaque) }));

/** Body of `GET /images/{name}/json`. */
export const imageInspect = query("image-store.image.inspect.v1", T.Object({ ref: Ref }), T.Object({ image: Opaque }));

/** Body of `GET /images/{name}/history`; `Id` is `<missing>` where no local image is known for a step. */
export const imageHistory = query("image-store.image.history.v1", T.Object({ ref: Ref }), T.Object({ history: T.Array(Opaque) }));

/** Work under a claim that may pass to another: refused (STALE_EPOCH) once a greater epoch of the same key was seen. */
export const Fence = T.Object({ key: T.String({ minLength: 1, maxLength: 128 }), epoch: T.Integer({ minimum: 0 }) });

export const imageTag = command("image-store.image.tag.v1", T.Object({ ref: Ref, target: Ref, fence: T.Optional(Fence) }), T.Object({ id: Digest }));
/** Whoever takes over a claim calls it first: from then on what earlier epochs of the key ask for is refused. */
export const imageFence = command("image-store.fence.raise.v1", Fence, Empty);

/** `DELETE /images/{name}`: Docker's rules, conflicts and order of `Untagged`/`Deleted` rows. Asks the scheduler who uses it. */
export const imageRemove = command("image-store.image.remove.v1",
  T.Object({ ref: Ref, force: T.Boolean(), prune: T.Boolean() }),
  T.Object({ rows: T.Array(T.Object({ Untagged: T.Optional(T.String()), Deleted: T.Optional(T.String()) })) }));

export const imagePrune = command("image-store.image.prune.v1", T.Object({ filters: Filters }),
  T.Object({ rows: T.Array(T.Object({ Untagged: T.Optional(T.String()), Deleted: T.Optional(T.String()) })), spaceReclaimed: T.Integer() }));

/**
 * Makes an image from a config whose layers' blobs are already stored. `config` is the exact JSON text; its digest is the
 * image ID. `parent` is the image it was built or committed from. Idempotent: the same config gives the same ID.
 */
export const imagePut = command("image-store.image.put.v1",
  T.Object({
    config: T.String({ maxLength: 4_000_000 }),
    layers: T.Array(T.Object({ diffId: Digest, digest: Digest, mediaType: T.String(), blobSize: T.Integer(), size: T.Integer() })),
    parent: Nullable(Digest),
    tags: T.Array(Ref),
  }),
  T.Object({ id: Digest }));

export const imageStoreInfo = query("image-store.info.v1", Empty, T.Object({ images: T.Integer(), layersSize: T.Integer() }));

/** Blobs a client wants to know of before it sends them: build contexts and layers. */
export const blobStat = query("image-store.blob.stat.v1", T.Object({ digest: Digest }), T.Object({ size: Nullable(T.Integer()) }));

/**
 * `docker login`: tries credentials against a registry (`serverAddress` as typed, with or without scheme and path). UNAUTHORIZED
 * with the registry's words where it refuses them. `identityToken` empty: the password is what to keep.
 */
export const registryLogin = query("image-store.registry.login.v1",
  T.Object({ serverAddress: T.String({ maxLength: 1024 }), username: T.String(), password: T.String(), identityToken: T.String() }),
  T.Object({ identityToken: T.String() }));
