import { mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { fail } from "@gantry/contracts";
import { imageArchive } from "./image-archive.ts";
import { BASE_NAMES, type BaseName } from "./names.ts";
import { busyboxLayer } from "./busybox.ts";
import { debianLayer } from "./debian.ts";
import { NODE_LIBRARIES, nodeLayer } from "./node.ts";

const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const ADD = "/bin/sh -c #(nop) ADD file:%digest% in / ";

/**
 * A `docker load` archive of a base image. Layer tars are kept in `cacheDir` and made only where they are missing, so that
 * the same machine gives the same image ID again. `name` is the image's own; default `busybox:latest`, `debian:bookworm-slim`, `node:26-slim`.
 */
export async function baseImage(base: BaseName, cacheDir: string, name?: string): Promise<{ name: string; archive: AsyncIterable<Uint8Array> }> {
  await mkdir(cacheDir, { recursive: true });
  const layer = async (file: string, make: (path: string) => Promise<void>): Promise<string> => {
    const path = join(cacheDir, file);
    if (!(await stat(path).then((s) => s.size > 0, () => false))) await make(path);
    return path;
  };
  const debian = () => layer(`debian-with-${NODE_LIBRARIES.join("-")}.tar`, (path) => debianLayer(path, NODE_LIBRARIES));
  const built = async (): Promise<Parameters<typeof imageArchive>[0]> => {
    switch (base) {
      case "busybox":
        return {
          name: name ?? "busybox:latest",
          layers: [{ tar: await layer("busybox.tar", busyboxLayer), createdBy: ADD }],
          emptyHistory: ['/bin/sh -c #(nop)  CMD ["sh"]'],
          config: { Env: [PATH], Cmd: ["sh"] },
        };
      case "debian":
        return {
          name: name ?? "debian:bookworm-slim",
          layers: [{ tar: await debian(), createdBy: ADD }],
          emptyHistory: ['/bin/sh -c #(nop)  CMD ["bash"]'],
          config: { Env: [PATH], Cmd: ["bash"] },
        };
      case "node": {
        const below = await debian();
        return {
          name: name ?? "node:26-slim",
          layers: [
            { tar: below, createdBy: ADD },
            { tar: await layer(`node-${process.version}.tar`, (path) => nodeLayer(path, below)), createdBy: "/bin/sh -c #(nop) COPY file:%digest% in /usr/local/bin/ " },
          ],
          emptyHistory: [`/bin/sh -c #(nop)  ENV NODE_VERSION=${process.versions.node}`, '/bin/sh -c #(nop)  CMD ["node"]'],
          config: { Env: [PATH, `NODE_VERSION=${process.versions.node}`], Cmd: ["node"] },
        };
      }
      default:
        throw fail("INVALID", `no base image ${String(base)}: there are ${BASE_NAMES.join(", ")}`);
    }
  };
  const image = await built();
  return { name: image.name, archive: await imageArchive(image) };
}
