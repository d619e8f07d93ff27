import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { pack } from "tar-stream";
import { archiveBytes } from "../tar.ts";

export interface BaseImage {
  /** `name:tag`. */
  readonly name: string;
  /** Uncompressed layer tars, lowest first, each with the line that `docker history` shows for it. */
  readonly layers: readonly { readonly tar: string; readonly createdBy: string }[];
  /** History lines without a layer, after the layers: `/bin/sh -c #(nop)  CMD ["bash"]`. */
  readonly emptyHistory: readonly string[];
  readonly config: Readonly<Record<string, unknown>>;
}

/** A `docker load` archive (manifest.json form) of a base image; its creation time is that of its newest layer file. */
export async function imageArchive(image: BaseImage): Promise<AsyncIterable<Uint8Array>> {
  const layers = await Promise.all(image.layers.map(async (layer) => ({ ...layer, size: (await stat(layer.tar)).size, mtime: (await stat(layer.tar)).mtime, digest: await sha256File(layer.tar) })));
  const created = new Date(Math.max(...layers.map((l) => l.mtime.getTime()))).toISOString();
  const config = JSON.stringify({
    created,
    architecture: process.arch === "arm64" ? "arm64" : "amd64",
    os: "linux",
    config: image.config,
    rootfs: { type: "layers", diff_ids: layers.map((l) => `sha256:${l.digest}`) },
    history: [
      ...layers.map((l) => ({ created: l.mtime.toISOString(), created_by: l.createdBy.replace("%digest%", l.digest) })),
      ...image.emptyHistory.map((line) => ({ created, created_by: line, empty_layer: true })),
    ],
  });
  const configName = `${createHash("sha256").update(config).digest("hex")}.json`;
  const manifest = JSON.stringify([{ Config: configName, RepoTags: [image.name], Layers: layers.map((l) => `${l.digest}/layer.tar`) }]);
  const archive = pack();
  const fill = async () => {
    const seen = new Set<string>();
    for (const layer of layers) {
      if (seen.has(layer.digest)) continue;
      seen.add(layer.digest);
      await new Promise<void>((resolve, reject) => {
        const entry = archive.entry({ name: `${layer.digest}/layer.tar`, size: layer.size }, (e) => (e ? reject(e) : resolve()));
        createReadStream(layer.tar, { highWaterMark: 1 << 20 }).on("error", reject).pipe(entry);
      });
    }
    archive.entry({ name: configName }, config);
    archive.entry({ name: "manifest.json" }, manifest);
    archive.finalize();
  };
  fill().catch((e: unknown) => archive.destroy(e instanceof Error ? e : new Error(String(e))));
  return archiveBytes(archive);
}

async function sha256File(file: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest("hex");
}
