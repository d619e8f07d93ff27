import { compressionOf, digestOf, isIndexMediaType, layerMediaType, MediaType, type Manifest } from "@gantry/oci";
import type { CatalogImage, ManifestRecord } from "./catalog.ts";

/** The OCI manifest of an image from its layers as they are stored: same image and blobs, same text. */
export function manifestOf(image: CatalogImage, configBytes: number): { record: ManifestRecord; body: string } {
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: MediaType.ociManifest,
    config: { mediaType: MediaType.ociConfig, digest: image.id, size: configBytes },
    layers: image.layers.map((layer) => ({ mediaType: layerMediaType(compressionOf(layer.mediaType) ?? "none"), digest: layer.digest, size: layer.blobSize })),
  };
  const body = JSON.stringify(manifest);
  return { body, record: manifestRecord(body, MediaType.ociManifest, manifest, image.id) };
}

/** The record of a manifest from its exact text. */
export function manifestRecord(body: string, mediaType: string, manifest: Manifest, imageId: string | null): ManifestRecord {
  return {
    digest: digestOf(body), mediaType, kind: isIndexMediaType(mediaType) ? "index" : "manifest", size: Buffer.byteLength(body), imageId,
    subject: manifest.subject?.digest ?? null, artifactType: manifest.artifactType ?? manifest.config.mediaType, annotations: manifest.annotations ?? null,
    refs: [...new Set([manifest.config.digest, ...manifest.layers.map((layer) => layer.digest)])],
  };
}

/** True where a client that sends this Accept header can read an index. No header: everything. */
export function acceptsIndex(accept: string | undefined): boolean {
  return accept === undefined || accept.split(",").some((part) => {
    const type = part.split(";")[0]!.trim();
    return type === "*/*" || type === "application/*" || isIndexMediaType(type);
  });
}
