import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { on, type Bus } from "@gantry/bus";
import type { DiskContentStore } from "@gantry/content";
import { fail, imagePut, imageResolve, type ResolvedImage } from "@gantry/contracts";
import { pack } from "tar-stream";

const BUSYBOX = "/bin/busybox";

/** A root file system of Debian's busybox-static, with a directory that a volume can be filled from. */
async function layer(): Promise<Buffer> {
  const tar = pack();
  const add = (name: string, options: object, content: string | Buffer = "") => tar.entry({ name, uid: 0, gid: 0, mtime: new Date(0), ...options }, content);
  for (const dir of ["bin", "etc", "tmp", "data"]) add(`${dir}/`, { type: "directory", mode: dir === "tmp" ? 0o1777 : 0o755 });
  add("etc/passwd", { mode: 0o644 }, "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n");
  add("etc/group", { mode: 0o644 }, "root:x:0:\nnogroup:x:65534:\n");
  add("data/seed", { mode: 0o640, uid: 7, gid: 8 }, "from the image\n");
  add("bin/busybox", { mode: 0o755 }, readFileSync(BUSYBOX));
  for (const name of execFileSync(BUSYBOX, ["--list"], { encoding: "utf8" }).split("\n")) {
    if (name !== "" && name !== "busybox") add(`bin/${name}`, { type: "link", linkname: "bin/busybox", mode: 0o755 });
  }
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** An image store of one image, `busybox`, whose layer is in `content`. Committed images are kept in `made`. */
export async function serveImages(bus: Bus, content: DiskContentStore): Promise<AsyncDisposable & { readonly made: { config: string; layers: readonly { diffId: string }[]; tags: readonly string[] }[] }> {
  const tar = await layer();
  const blob = await content.ingest((async function* () { yield tar; })(), { volatile: true });
  const image: ResolvedImage = {
    id: `sha256:${"b".repeat(64)}`, repoTags: ["busybox:latest"], repoDigests: [], parent: null, size: tar.length,
    config: { architecture: "amd64", os: "linux", config: { Cmd: ["sh"], Env: ["PATH=/bin"] }, rootfs: { type: "layers", diff_ids: [blob.digest] } },
    layers: [{ diffId: blob.digest, chainId: blob.digest, digest: blob.digest, mediaType: "application/vnd.oci.image.layer.v1.tar", blobSize: blob.size, size: blob.size }],
  };
  const made: { config: string; layers: readonly { diffId: string }[]; tags: readonly string[] }[] = [];
  const served = await bus.serve("image-store", [
    on(imageResolve, async ({ ref }) => {
      if (ref !== "busybox" && ref !== image.id) throw fail("NO_SUCH_IMAGE", `No such image: ${ref}:latest`);
      return image;
    }),
    on(imagePut, async (body) => {
      made.push(body);
      return { id: `sha256:${"c".repeat(64)}` };
    }),
  ]);
  return { made, [Symbol.asyncDispose]: () => served[Symbol.asyncDispose]() };
}
