import { execFile } from "node:child_process";
import { closeSync, constants, openSync, statSync } from "node:fs";
import { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { fail } from "@gantry/contracts";
import { errnoOf, isGantryError } from "@gantry/kernel";
import { mkdirInRoot, packTree, statInRoot, unpackTree, type ContainerPathStat } from "@gantry/snapshots";
import { entryOf, type Agent } from "../context.ts";
import type { Entry } from "../model.ts";
import { mountSources } from "../mount-sources.ts";

/** A container's file system as it sees it itself. */
interface Tree extends AsyncDisposable { readonly path: string }

/**
 * Of a running container: its own mounts, by way of /proc. Of another: its snapshot, with its volumes and binds mounted where they
 * would be. `release` undoes it.
 */
async function openTree(agent: Agent, entry: Entry): Promise<Tree> {
  if (entry.running) return { path: `/proc/${entry.running.pid}/root`, [Symbol.asyncDispose]: async () => {} };
  const points = entry.spec.mounts.filter((mount) => mount.Type !== "tmpfs");
  const mounted = await agent.snapshots.mount(entry.id);
  if (points.length === 0) return mounted;
  const targets: number[] = [];
  const release = async () => {
    for (const fd of targets.reverse()) {
      await run("umount", ["--no-canonicalize", "--lazy", `/proc/${process.pid}/fd/${fd}`]).finally(() => closeSync(fd));
    }
    await mounted[Symbol.asyncDispose]();
  };
  try {
    for (const { point, source } of await mountSources(points, agent.volumes)) {
      const directory = statSync(source).isDirectory();
      if (directory) mkdirInRoot(agent.native, mounted.path, point.Destination, { mode: 0o755, uid: 0, gid: 0 });
      const target = openTarget(agent, mounted.path, point.Destination);
      if (target === null) continue;
      await bind(source, target, point.RW);
      targets.push(target);
    }
  } catch (e) {
    await release();
    throw e;
  }
  return { path: mounted.path, [Symbol.asyncDispose]: release };
}

function openTarget(agent: Agent, root: string, path: string): number | null {
  const fd = openSync(root, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    return agent.native.openat2Sync(fd, path, 0o10000000 /* O_PATH */, 0, "in-root");
  } catch (e) {
    // A single file's place that the image does not have.
    if (errnoOf(e) === "ENOENT") return null;
    throw e;
  } finally {
    closeSync(fd);
  }
}

/** Onto a descriptor, so that no link of the container leads the mount elsewhere. */
function bind(source: string, target: number, writable: boolean): Promise<void> {
  return run("mount", ["--no-canonicalize", "--bind", ...(writable ? [] : ["-o", "ro"]), source, `/proc/${process.pid}/fd/${target}`]);
}

function run(program: string, args: string[]): Promise<void> {
  return new Promise((resolve, reject) => execFile(program, args, (e, _out, stderr) => (e ? reject(fail("INTERNAL", `${program}: ${stderr.trim()}`, { cause: e })) : resolve())));
}

/** Stopped containers' trees are opened by one request at a time. */
async function withTree<T>(agent: Agent, entry: Entry, work: (path: string) => Promise<T>): Promise<T> {
  const open = async () => {
    await using tree = await openTree(agent, entry);
    // Awaited here: a rejection during the release would have nobody to take it.
    return await work(tree.path);
  };
  return entry.running ? open() : agent.order.run(`tree ${entry.id}`, open);
}

function notFound(entry: Entry, path: string, e: unknown): never {
  if (isGantryError(e, "NO_SUCH_PATH")) throw fail("NO_SUCH_PATH", `Could not find the file ${path} in container ${entry.id}`, { cause: e });
  throw e;
}

export function checkPath(path: string | null): string {
  if (path === null || path === "" || path.length > 4096 || path.includes("\0")) throw fail("INVALID", "bad parameter: 'path' cannot be empty");
  return path.startsWith("/") ? path : `/${path}`;
}

export async function statPath(agent: Agent, id: string, path: string): Promise<ContainerPathStat> {
  const entry = entryOf(agent, id);
  return withTree(agent, entry, async (root) => statInRoot(agent.native, root, path)).catch((e: unknown) => notFound(entry, path, e));
}

/** `send` gets the stat before the first byte of the archive, and resolves when the archive is sent. */
export async function readArchive(agent: Agent, id: string, path: string, send: (stat: ContainerPathStat, archive: Readable) => Promise<void>): Promise<void> {
  const entry = entryOf(agent, id);
  await withTree(agent, entry, async (root) => {
    const stat = statInRoot(agent.native, root, path);
    const trimmed = path.replace(/\/\.?$/, "");
    await send(stat, packTree(agent.native, root, path, path.endsWith("/.") ? { name: "." } : trimmed === "" ? { name: "/" } : {}));
  }).catch((e: unknown) => notFound(entry, path, e));
}

export async function writeArchive(agent: Agent, id: string, path: string, options: { noOverwriteDirNonDir: boolean }, body: Readable): Promise<void> {
  const entry = entryOf(agent, id);
  if (entry.spec.hostConfig.ReadonlyRootfs && !entry.spec.mounts.some((mount) => mount.RW && (path === mount.Destination || path.startsWith(`${mount.Destination}/`)))) {
    throw fail("INVALID", "container rootfs is marked read-only");
  }
  await withTree(agent, entry, async (root) => {
    const stat = statInRoot(agent.native, root, `${path.replace(/\/+$/, "")}/.`);
    if (stat.mode < 2 ** 31) throw fail("INVALID", "extraction point is not a directory");
    await unpackTree(agent.native, root, path, await plain(body), { noOverwriteDirNonDir: options.noOverwriteDirNonDir });
  }).catch((e: unknown) => notFound(entry, path, e));
}

/** A tar as it is, or unzipped: the API takes identity and gzip. */
async function plain(body: Readable): Promise<Readable> {
  const iterator = body[Symbol.asyncIterator]();
  const first = await iterator.next() as IteratorResult<Buffer>;
  const all = Readable.from((async function* () {
    if (!first.done) yield first.value;
    for (let next = await iterator.next() as IteratorResult<Buffer>; !next.done; next = await iterator.next() as IteratorResult<Buffer>) yield next.value;
  })(), { objectMode: false });
  const gzip = !first.done && first.value.length > 1 && first.value[0] === 0x1f && first.value[1] === 0x8b;
  return gzip ? all.compose(createGunzip()) as Readable : all;
}

/** `docker export`: the whole file system without what other file systems hold in it. */
export async function exportContainer(agent: Agent, id: string, send: (archive: Readable) => Promise<void>): Promise<void> {
  const entry = entryOf(agent, id);
  await using mounted = await agent.snapshots.mount(entry.id, { readonly: true });
  await send(packTree(agent.native, mounted.path, "/", { contentsOnly: true }));
}
