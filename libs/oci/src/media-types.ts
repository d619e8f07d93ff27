/** Media types of the OCI image-spec and of Docker's schema 2, which is the same under other names. */
export const MediaType = {
  ociManifest: "application/vnd.oci.image.manifest.v1+json",
  ociIndex: "application/vnd.oci.image.index.v1+json",
  ociConfig: "application/vnd.oci.image.config.v1+json",
  ociLayer: "application/vnd.oci.image.layer.v1.tar",
  ociLayerGzip: "application/vnd.oci.image.layer.v1.tar+gzip",
  ociLayerZstd: "application/vnd.oci.image.layer.v1.tar+zstd",
  ociEmpty: "application/vnd.oci.empty.v1+json",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerList: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerConfig: "application/vnd.docker.container.image.v1+json",
  dockerLayer: "application/vnd.docker.image.rootfs.diff.tar",
  dockerLayerGzip: "application/vnd.docker.image.rootfs.diff.tar.gzip",
  dockerLayerZstd: "application/vnd.docker.image.rootfs.diff.tar.zstd",
  dockerForeignLayer: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
} as const;

/** What to send in `Accept` when asking for a manifest. */
export const MANIFEST_ACCEPT: readonly string[] = [
  MediaType.ociManifest, MediaType.ociIndex, MediaType.dockerManifest, MediaType.dockerList,
];

export type Compression = "none" | "gzip" | "zstd";

const LAYERS: ReadonlyMap<string, Compression> = new Map([
  [MediaType.ociLayer, "none"], [MediaType.ociLayerGzip, "gzip"], [MediaType.ociLayerZstd, "zstd"],
  [MediaType.dockerLayer, "none"], [MediaType.dockerLayerGzip, "gzip"], [MediaType.dockerLayerZstd, "zstd"],
]);

export function isLayerMediaType(mediaType: string): boolean {
  return LAYERS.has(mediaType);
}

/** How a layer of this media type is compressed; null for what is no layer known here. */
export function compressionOf(mediaType: string): Compression | null {
  return LAYERS.get(mediaType) ?? null;
}

/** The OCI media type of a layer with this compression. */
export function layerMediaType(compression: Compression): string {
  return compression === "none" ? MediaType.ociLayer : compression === "gzip" ? MediaType.ociLayerGzip : MediaType.ociLayerZstd;
}

export function isManifestMediaType(mediaType: string): boolean {
  return mediaType === MediaType.ociManifest || mediaType === MediaType.dockerManifest;
}

export function isIndexMediaType(mediaType: string): boolean {
  return mediaType === MediaType.ociIndex || mediaType === MediaType.dockerList;
}

/** Compression by the first bytes of a stream (4 suffice). */
export function sniffCompression(head: Uint8Array): Compression | "bzip2" | "xz" {
  if (head[0] === 0x1f && head[1] === 0x8b) return "gzip";
  if (head[0] === 0x28 && head[1] === 0xb5 && head[2] === 0x2f && head[3] === 0xfd) return "zstd";
  if (head[0] === 0x42 && head[1] === 0x5a && head[2] === 0x68) return "bzip2";
  if (head[0] === 0xfd && head[1] === 0x37 && head[2] === 0x7a && head[3] === 0x58) return "xz";
  return "none";
}
