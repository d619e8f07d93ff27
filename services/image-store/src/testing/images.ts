import { imagePut } from "@gantry/contracts";
import { digestOf, imageConfigText, MediaType, type ImageConfig } from "@gantry/oci";
import { pack } from "tar-stream";
import { buffer } from "node:stream/consumers";
import { putBlob, type TestStore } from "./harness.ts";

/** A tar with these files. */
export async function tarOf(files: Readonly<Record<string, string | Uint8Array>>): Promise<Buffer> {
  const tar = pack();
  for (const [name, content] of Object.entries(files)) tar.entry({ name, mtime: new Date(0) }, Buffer.from(content as string));
  tar.finalize();
  return buffer(tar);
}

export interface Built { readonly id: string; readonly config: ImageConfig; readonly layers: { diffId: string; digest: string; mediaType: string; blobSize: number; size: number }[] }

/** Adds one step to an image as a builder does: with files, a layer; else an empty one. */
export async function buildStep(store: TestStore, options: {
  parent?: Built; files?: Record<string, string>; by: string; tags?: string[]; created?: string; labels?: Record<string, string>;
}): Promise<Built> {
  const layers = [...options.parent?.layers ?? []];
  if (options.files !== undefined) {
    const tar = await tarOf(options.files);
    const blob = await putBlob(store, tar);
    const size = Object.values(options.files).reduce((sum, text) => sum + Buffer.byteLength(text), 0);
    layers.push({ diffId: blob.digest, digest: blob.digest, mediaType: MediaType.ociLayer, blobSize: blob.size, size });
  }
  const created = options.created ?? "2026-01-02T03:04:05.678Z";
  const config: ImageConfig = {
    architecture: "amd64", os: "linux", created,
    config: { Env: ["PATH=/bin"], Cmd: ["sh"], ...(options.labels === undefined ? {} : { Labels: options.labels }) },
    rootfs: { type: "layers", diff_ids: layers.map((layer) => layer.diffId) },
    history: [...options.parent?.config.history ?? [], { created, created_by: options.by, ...(options.files === undefined ? { empty_layer: true } : {}) }],
  };
  const text = imageConfigText(config);
  const { id } = await store.bus.call(imagePut, { config: text, layers, parent: options.parent?.id ?? null, tags: options.tags ?? [] });
  if (id !== digestOf(text)) throw new Error("image ID is not the digest of its config");
  return { id, config, layers };
}
