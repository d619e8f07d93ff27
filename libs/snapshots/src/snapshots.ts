import { closeSync, constants, mkdirSync, openSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { fail } from "@gantry/contracts";
import { bootId, errnoOf, silentLogger, type Logger } from "@gantry/kernel";
import type { NativeFs } from "@gantry/runtime";
import { changesOf } from "./changes.ts";
import { Durability } from "./durability.ts";
import { applyLayer } from "./layer-apply.ts";
import { diffLayer } from "./layer-diff.ts";
import { checkChain, layerFiles, layerName, readLayer, readSnapshot, snapshotName, writeRecord, type LayerRecord, type SnapshotRecord } from "./layout.ts";
import { Mounts } from "./mounts.ts";
import type { LayerStat, OverlayRootfs, Snapshotter } from "./port.ts";
import { recover } from "./recover.ts";
import { Workshop } from "./workshop.ts";
import type { TreeEntry } from "./tree-reader.ts";
import { bytesOfTree } from "./usage.ts";

export interface SnapshotsOptions {
  /** The state directory; made when missing. In a file system that overlay can use as upper (ext4, xfs, btrfs …). */
  readonly dir: string;
  readonly native: NativeFs;
  readonly logger?: Logger;
}

/** The kernel's OVL_MAX_STACK, less the upper. */
const LAYERS_MAX = 499;
/** Errors of rename onto a directory that is there. */
const TAKEN = new Set(["EEXIST", "ENOTEMPTY"]);

/** Opens the directory, and clears away what dead processes and crashes of the host left. */
export async function openSnapshots(options: SnapshotsOptions): Promise<OverlaySnapshots> {
  const snapshots = new OverlaySnapshots(options);
  await snapshots.open();
  return snapshots;
}

/** {@link Snapshotter} on overlay. The layout is told in layout.ts. Disposal unmounts, finishes deleting and syncs. */
export class OverlaySnapshots implements Snapshotter, AsyncDisposable {
  readonly #dir: string;
  readonly #native: NativeFs;
  readonly #logger: Logger;
  readonly #workshop: Workshop;
  readonly #mounts: Mounts;
  readonly #durability: Durability;
  readonly #applying = new Map<string, Promise<LayerStat>>();
  /** Bytes that a diff has counted, so that a commit right after it need not. */
  readonly #counted = new Map<string, number>();

  constructor(options: SnapshotsOptions) {
    const { dir, native, logger = silentLogger } = options;
    this.#dir = dir;
    this.#native = native;
    this.#logger = logger;
    this.#workshop = new Workshop(dir, native, logger);
    this.#mounts = new Mounts(dir, native, logger);
    this.#durability = new Durability({ dir, native, logger });
  }

  async open(): Promise<void> {
    for (const sub of ["l", "s", "t", "m", "e"]) mkdirSync(join(this.#dir, sub), { recursive: true, mode: sub === "e" ? 0o755 : 0o711 });
    await this.#locked(true, () => recover(this.#dir, this.#workshop, this.#durability, this.#logger));
    await this.#mounts.sweep();
  }

  async stat(chainId: string): Promise<LayerStat | null> {
    const record = this.#layer(chainId);
    return record === null ? null : statOf(record);
  }

  apply(layer: { parent: string | null; diffId: string; chainId: string }, tar: AsyncIterable<Uint8Array>): Promise<LayerStat> {
    const running = this.#applying.get(layer.chainId);
    if (running !== undefined) {
      discard(tar);
      return running;
    }
    const applying = this.#apply(layer, tar).finally(() => this.#applying.delete(layer.chainId));
    this.#applying.set(layer.chainId, applying);
    return applying;
  }

  async #apply(layer: { parent: string | null; diffId: string; chainId: string }, tar: AsyncIterable<Uint8Array>): Promise<LayerStat> {
    checkChain(layer);
    const there = this.#layer(layer.chainId);
    if (there !== null) {
      discard(tar);
      return statOf(there);
    }
    const parent = this.#parent(layer.parent);
    const making = this.#workshop.newPath();
    try {
      mkdirSync(join(making, "f"), { recursive: true, mode: 0o755 });
      // Tells a collection in another process which layers this one stands on.
      writeRecord(join(making, "layer.json"), record(layer, parent, 0));
      this.#copyRoot(parent, join(making, "f"));
      const lowers = (parent?.chain ?? []).map((name) => join(this.#dir, layerFiles(name)));
      const { bytes } = await applyLayer(this.#native, join(making, "f"), lowers, layer.diffId, tar);
      return await this.#publish(making, record(layer, parent, bytes));
    } catch (e) {
      this.#workshop.discard(making);
      throw e;
    }
  }

  /** Gives a complete layer directory its name. */
  async #publish(from: string, layer: LayerRecord): Promise<LayerStat> {
    writeRecord(join(from, "layer.json"), layer);
    const name = layerName(layer.chainId);
    await this.#locked(false, () => {
      if (layer.parent !== null && this.#layer(layer.parent) === null) throw missing(layer.parent);
      try {
        renameSync(from, join(this.#dir, "l", name));
      } catch (e) {
        if (!TAKEN.has(errnoOf(e) ?? "")) throw e;
        // Another process was first; or, never yet seen, another layer has the same 64 bits.
        if (this.#layer(layer.chainId) === null) throw fail("CONFLICT", `layer directory ${name} is of another chain than ${layer.chainId}`, { cause: e });
        this.#workshop.discard(from);
      }
    });
    this.#durability.add(name);
    return statOf(this.#layer(layer.chainId) ?? layer);
  }

  async prepare(key: string, parentId: string | null, options: { volatile?: boolean } = {}): Promise<OverlayRootfs> {
    const name = snapshotName(key);
    const snapshot: SnapshotRecord = { key, parent: parentId, volatile: options.volatile === true, boot: bootId() };
    const making = this.#workshop.newPath();
    return await this.#locked(false, () => {
      const parent = this.#parent(parentId);
      mkdirSync(making);
      try {
        mkdirSync(join(making, "f"), { mode: 0o755 });
        mkdirSync(join(making, "w"), { mode: 0o711 });
        this.#copyRoot(parent, join(making, "f"));
        writeRecord(join(making, "snapshot.json"), snapshot);
        renameSync(making, join(this.#dir, "s", name));
      } catch (e) {
        rmSync(making, { recursive: true, force: true });
        if (TAKEN.has(errnoOf(e) ?? "")) throw fail("CONFLICT", `snapshot ${key} already exists`, { cause: e });
        throw e;
      }
      return this.#rootfsOf(name, snapshot, parent);
    });
  }

  async rootfs(key: string): Promise<OverlayRootfs> {
    this.#counted.delete(key);
    return this.#rootfs(key);
  }

  #rootfs(key: string): OverlayRootfs {
    const { name, snapshot } = this.#snapshot(key);
    // The mark of a volatile mount: the kernel refuses to mount what has it. This host is still up, so nothing was lost.
    rmSync(join(this.#dir, "s", name, "w", "work", "incompat"), { recursive: true, force: true });
    return this.#rootfsOf(name, snapshot, this.#parent(snapshot.parent));
  }

  async mount(key: string, options: { readonly?: boolean } = {}): Promise<AsyncDisposable & { readonly path: string }> {
    this.#counted.delete(key);
    if (options.readonly !== true) return await this.#mounts.acquire(`${key}\0rw`, () => this.#rootfs(key));
    return await this.#mounts.acquire(`${key}\0ro`, () => {
      const { name, snapshot } = this.#snapshot(key);
      const { base, lowers, upper } = this.#rootfsOf(name, snapshot, this.#parent(snapshot.parent));
      return { base, lowers: [upper!, ...lowers], upper: null, work: null, volatile: false };
    });
  }

  diff(key: string): Readable {
    const { name, snapshot } = this.#snapshot(key);
    const parent = this.#parent(snapshot.parent);
    const counting = { bytes: 0 };
    const stream = diffLayer(this.#native, join(this.#dir, "s", name, "f"), (root) => this.#rootDiffers(root, parent), counting);
    stream.once("end", () => this.#counted.set(key, counting.bytes));
    return stream;
  }

  async changes(key: string): Promise<{ path: string; kind: "added" | "modified" | "deleted" }[]> {
    const { name, snapshot } = this.#snapshot(key);
    const lowers = (this.#parent(snapshot.parent)?.chain ?? []).map((layer) => join(this.#dir, layerFiles(layer)));
    return await changesOf(this.#native, join(this.#dir, "s", name, "f"), lowers);
  }

  async commit(key: string, layer: { diffId: string; chainId: string }): Promise<LayerStat> {
    const { name, snapshot } = this.#snapshot(key, layer.chainId);
    const there = this.#layer(layer.chainId);
    if (there !== null) {
      await this.remove(key);
      return statOf(there);
    }
    if (snapshot === null) throw noSnapshot(key);
    checkChain({ ...layer, parent: snapshot.parent });
    const bytes = this.#counted.get(key) ?? (await this.usage(key));
    this.#counted.delete(key);
    const from = join(this.#dir, "s", name);
    const stat = await this.#publish(from, record({ ...layer, parent: snapshot.parent }, this.#parent(snapshot.parent), bytes));
    const to = join(this.#dir, "l", layerName(layer.chainId));
    this.#workshop.discard(join(to, "w"));
    rmSync(join(to, "snapshot.json"), { force: true });
    return stat;
  }

  async remove(key: string): Promise<void> {
    this.#counted.delete(key);
    this.#workshop.discard(join(this.#dir, "s", snapshotName(key)));
  }

  async usage(key: string): Promise<number> {
    const { name } = this.#snapshot(key);
    const fd = openSync(join(this.#dir, "s", name, "f"), constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      return await bytesOfTree(this.#native, fd);
    } finally {
      closeSync(fd);
    }
  }

  async list(): Promise<{ key: string; parent: string | null }[]> {
    return readdirSync(join(this.#dir, "s"))
      .map((name) => readSnapshot(this.#dir, name))
      .filter((snapshot) => snapshot !== null)
      .map(({ key, parent }) => ({ key, parent }));
  }

  async collect(keep: ReadonlySet<string>): Promise<number> {
    return await this.#locked(true, () => {
      const layers = readdirSync(join(this.#dir, "l")).map((name) => ({ name, layer: readLayer(this.#dir, name) }));
      const needed = new Set<string>();
      const need = (parent: LayerRecord | null): void => { for (const name of parent?.chain ?? []) needed.add(name); };
      for (const { layer } of layers) if (layer !== null && keep.has(layer.chainId)) need(layer);
      for (const name of readdirSync(join(this.#dir, "s"))) {
        const parent = readSnapshot(this.#dir, name)?.parent;
        if (typeof parent === "string") need(readLayer(this.#dir, layerName(parent)));
      }
      for (const parent of this.#workshop.parentsOfMade()) need(readLayer(this.#dir, layerName(parent)));
      let freed = 0;
      for (const { name, layer } of layers) {
        if (needed.has(name)) continue;
        if (this.#workshop.discard(join(this.#dir, "l", name))) freed += layer?.size ?? 0;
      }
      return freed;
    });
  }

  /** When everything removed is deleted, and every layer is safe from a crash of the host. */
  async settle(): Promise<void> {
    await this.#workshop.idle();
    await this.#durability.flush();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#applying.values());
    await this.#mounts[Symbol.asyncDispose]();
    await this.#workshop.idle();
    await this.#durability[Symbol.asyncDispose]();
  }

  #layer(chainId: string): LayerRecord | null {
    const found = readLayer(this.#dir, layerName(chainId));
    return found?.chainId === chainId ? found : null;
  }

  #parent(chainId: string | null): LayerRecord | null {
    if (chainId === null) return null;
    const parent = this.#layer(chainId);
    if (parent === null) throw missing(chainId);
    if (parent.chain.length > LAYERS_MAX) throw fail("INVALID", `max depth exceeded: ${parent.chain.length} layers`);
    return parent;
  }

  /** With `committed`, a snapshot that is gone is no error as long as that layer is there. */
  #snapshot(key: string): { name: string; snapshot: SnapshotRecord };
  #snapshot(key: string, committed: string): { name: string; snapshot: SnapshotRecord | null };
  #snapshot(key: string, committed?: string): { name: string; snapshot: SnapshotRecord | null } {
    const name = snapshotName(key);
    const snapshot = readSnapshot(this.#dir, name);
    if (snapshot === null && (committed === undefined || this.#layer(committed) === null)) throw noSnapshot(key);
    return { name, snapshot };
  }

  #rootfsOf(name: string, snapshot: SnapshotRecord, parent: LayerRecord | null): OverlayRootfs {
    const lowers = parent?.chain.map(layerFiles) ?? ["e"];
    return { base: this.#dir, lowers, upper: `s/${name}/f`, work: `s/${name}/w`, volatile: snapshot.volatile };
  }

  /** The root of what is mounted is that of the top layer: so it takes the mode and owner of the one below. */
  #copyRoot(parent: LayerRecord | null, to: string): void {
    const top = parent?.chain[0];
    if (top === undefined) return;
    const fd = openSync(join(this.#dir, layerFiles(top)), O_PATH);
    try {
      const { mode, uid, gid } = this.#native.fstatatSync(fd, "");
      if (uid !== 0 || gid !== 0) this.#native.fchownatSync(AT_FDCWD, to, uid, gid);
      if ((mode & 0o7777) !== 0o755) this.#native.fchmodatSync(AT_FDCWD, to, mode & 0o7777);
    } finally {
      closeSync(fd);
    }
  }

  #rootDiffers(root: TreeEntry, parent: LayerRecord | null): boolean {
    const top = parent?.chain[0];
    const below = top === undefined ? { mode: 0o755, uid: 0, gid: 0 } : this.#native.fstatatSync(AT_FDCWD, join(this.#dir, layerFiles(top)));
    const own = root.xattrs.some((xattr) => !xattr.name.startsWith("trusted.overlay."));
    return own || (root.mode & 0o7777) !== (below.mode & 0o7777) || root.uid !== below.uid || root.gid !== below.gid;
  }

  /** Among all processes on the directory. The lock is held as long as `work`, which waits for nothing, takes. */
  async #locked<T>(exclusive: boolean, work: () => T): Promise<T> {
    const fd = openSync(join(this.#dir, "lock"), constants.O_RDWR | constants.O_CREAT, 0o600);
    try {
      await this.#native.flock(fd, exclusive);
      return work();
    } finally {
      closeSync(fd);
    }
  }
}

const AT_FDCWD = -100;
const O_PATH = 0o10000000;

const noSnapshot = (key: string) => fail("NOT_FOUND", `no such snapshot: ${key}`);
const missing = (chainId: string) => fail("NOT_FOUND", `layer ${chainId} is not on this host`);
const statOf = ({ chainId, parent, diffId, size }: LayerRecord): LayerStat => ({ chainId, parent, diffId, size });

function record(layer: { parent: string | null; diffId: string; chainId: string }, parent: LayerRecord | null, size: number): LayerRecord {
  const chain = [layerName(layer.chainId), ...(parent?.chain ?? [])];
  return { chainId: layer.chainId, parent: layer.parent, diffId: layer.diffId, size, chain, boot: bootId() };
}

/** A stream that is not needed after all. */
function discard(tar: AsyncIterable<Uint8Array>): void {
  if (tar instanceof Readable) tar.destroy();
}
