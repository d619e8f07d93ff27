import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fail } from "@gantry/contracts";
import { errnoOf } from "@gantry/kernel";

/**
 * The state directory of snapshots. Paths within an overlay's options are relative to it, hence the short names.
 *
 *     l/<16 hex of the chain ID>/f            a layer's files, in overlay's form
 *                               /layer.json   what it is; here once the layer is complete, for it came by rename
 *                               /d            exists once the layer is synced to disk
 *     s/<key>/f, /w, /snapshot.json           a writable snapshot: upper and work directories
 *     t/b-<process>-<random>/                 being made
 *     t/x-<random>/                           trash, being deleted
 *     m/<process>-<n>/                        mount points of processes
 *     e/                                      an empty layer
 *     lock                                    shared: adding. Exclusive: collecting
 */
export interface LayerRecord {
  readonly chainId: string;
  readonly parent: string | null;
  readonly diffId: string;
  readonly size: number;
  /** Names in `l/` of this layer and those below it, the topmost first. */
  readonly chain: readonly string[];
  /** Boot of the host in which it was made: before `d` exists it does not outlive that. */
  readonly boot: string;
}

export interface SnapshotRecord {
  readonly key: string;
  readonly parent: string | null;
  readonly volatile: boolean;
  readonly boot: string;
}

const DIGEST = /^sha256:[0-9a-f]{64}$/;

export function layerName(chainId: string): string {
  if (!DIGEST.test(chainId)) throw fail("INVALID", `invalid chain ID: ${JSON.stringify(chainId.slice(0, 200))}`);
  return chainId.slice("sha256:".length, "sha256:".length + 16);
}

/** Chain ID as in the OCI image-spec, config.md. */
export function chainIdOf(parent: string | null, diffId: string): string {
  return parent === null ? diffId : `sha256:${createHash("sha256").update(`${parent} ${diffId}`).digest("hex")}`;
}

/** INVALID where the IDs are malformed or do not belong together. */
export function checkChain(layer: { parent: string | null; diffId: string; chainId: string }): void {
  layerName(layer.diffId);
  if (layer.parent !== null) layerName(layer.parent);
  const expected = chainIdOf(layer.parent, layer.diffId);
  if (layer.chainId !== expected) throw fail("INVALID", `chain ID ${layer.chainId} does not fit diff ID ${layer.diffId} on ${layer.parent ?? "nothing"}`);
}

/** The directory name of a snapshot: its key, or a hash of a key that is no plain name. */
export function snapshotName(key: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/.test(key)) return key;
  if (key === "" || key.length > 4096) throw fail("INVALID", "invalid snapshot key");
  return `~${createHash("sha256").update(key).digest("hex").slice(0, 32)}`;
}

export const layerFiles = (name: string): string => `l/${name}/f`;

/** The record of a layer directory; null where there is none, or a torn one after a crash of the host. */
export const readLayer = (dir: string, name: string): LayerRecord | null => readRecord<LayerRecord>(join(dir, "l", name, "layer.json"));
export const readSnapshot = (dir: string, name: string): SnapshotRecord | null => readRecord<SnapshotRecord>(join(dir, "s", name, "snapshot.json"));

export function writeRecord(path: string, record: LayerRecord | SnapshotRecord): void {
  writeFileSync(path, `${JSON.stringify(record)}\n`);
}

/** null where there is none, or a torn one. */
export function readRecord<T>(path: string): T | null {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as T;
  } catch (e) {
    if (errnoOf(e) === "ENOENT" || e instanceof SyntaxError) return null;
    throw e;
  }
}
