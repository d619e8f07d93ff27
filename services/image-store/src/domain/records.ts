/** A layer as an image refers to it: the files (`diffId`, `size`) and the blob that holds them. */
export interface StoredLayer {
  readonly diffId: string;
  readonly digest: string;
  readonly mediaType: string;
  /** Bytes of the blob. */
  readonly blobSize: number;
  /** Bytes of the files. */
  readonly size: number;
}

export interface ImageRecord {
  /** Digest of the config. */
  readonly id: string;
  /** The image it was built or committed from, as long as that one is here. */
  readonly parent: string | null;
  /** Milliseconds since the epoch, from the config; null where it says nothing. */
  readonly created: number | null;
  readonly labels: Readonly<Record<string, string>> | null;
  readonly layers: readonly StoredLayer[];
  readonly os: string;
}

/** A tag of a repository. Names are in full: `docker.io/library/redis`. */
export interface TagRecord {
  readonly repo: string;
  readonly tag: string;
  /** The image that `docker` sees under this tag; null for what is no image (artifacts, indexes without our platform). */
  readonly imageId: string | null;
  /** The manifest or index that the registry serves under this tag; null: one is made of the image. */
  readonly manifest: string | null;
  /** Milliseconds since the epoch. */
  readonly updated: number;
}

/** A manifest or index known in a repository; with `imageId`, a row of that image's RepoDigests. */
export interface RepoDigestRecord {
  readonly repo: string;
  readonly digest: string;
  readonly imageId: string | null;
}

export interface ManifestRecord {
  readonly digest: string;
  readonly mediaType: string;
  readonly kind: "manifest" | "index";
  /** Bytes. */
  readonly size: number;
  /** The image whose config it names, where that one is here. */
  readonly imageId: string | null;
  readonly subject: string | null;
  readonly artifactType: string | null;
  readonly annotations: Readonly<Record<string, string>> | null;
  /** Config and layers of a manifest; the manifests of an index. */
  readonly refs: readonly string[];
}

/** Everything that ever changes here, as data: the database and the memory carry out the same list. */
export type Change =
  | { readonly type: "image"; readonly record: ImageRecord; readonly config: string }
  | { readonly type: "deleteImage"; readonly id: string }
  | { readonly type: "tag"; readonly record: TagRecord }
  | { readonly type: "untag"; readonly repo: string; readonly tag: string }
  | { readonly type: "digest"; readonly record: RepoDigestRecord }
  | { readonly type: "undigest"; readonly repo: string; readonly digest: string }
  | { readonly type: "manifest"; readonly record: ManifestRecord; readonly body: string }
  | { readonly type: "deleteManifest"; readonly digest: string }
  | { readonly type: "compressed"; readonly diffId: string; readonly digest: string; readonly size: number }
  | { readonly type: "fence"; readonly key: string; readonly epoch: number; readonly raisedAt: number };

/** One row of an image's references, as Docker's reference store has them. */
export interface ImageReference {
  readonly repo: string;
  readonly tag: string | null;
  readonly digest: string | null;
}

/** Read side of the catalog: what planners and lookups need. */
export interface CatalogView {
  image(id: string): ImageRecord | null;
  children(id: string): readonly string[];
  /** Tags and digests of an image, sorted by their full text. */
  references(id: string): readonly ImageReference[];
  tag(repo: string, tag: string): TagRecord | null;
  digest(repo: string, digest: string): RepoDigestRecord | null;
}

export interface CatalogImage extends ImageRecord {
  readonly chainIds: readonly string[];
  /** Bytes of all files in all layers. */
  readonly size: number;
}
