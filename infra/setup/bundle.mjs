/**
 * The services and libraries in a few files instead of two thousand: what a start spends on finding and reading modules. It is
 * derived from the sources and never needed: whoever asks gets it only while it is what the sources say, and else takes those.
 */
import { readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { contentFingerprint, statFingerprint } from "./fingerprint.mjs";

/** Where bundles lie, each in a directory of its own, beside the manifest of the current one. */
export const bundlesDir = (root) => join(root, "build", "bundle");
const manifestOf = (root) => join(bundlesDir(root), "current.json");

/**
 * Path of the current bundle's entry; null if there is none, or a file that it was made of has changed. Times and sizes decide,
 * and where they differ (a copied checkout), the contents.
 */
export function currentBundle(root) {
  const manifest = readManifest(root);
  if (manifest === null) return null;
  const now = Date.now();
  const stats = statFingerprint(root, manifest.inputs);
  if (stats === null) return null;
  if (stats.print !== manifest.stats) {
    if (contentFingerprint(root, manifest.inputs) !== manifest.contents) return null;
    if (stats.olderThan(now)) tryToSave(root, { ...manifest, stats: stats.print });
  }
  const entry = join(bundlesDir(root), manifest.directory, manifest.entry);
  return statSync(entry, { throwIfNoEntry: false }) === undefined ? null : entry;
}

function readManifest(root) {
  try {
    return JSON.parse(readFileSync(manifestOf(root), "utf8"));
  } catch (e) {
    if (e.code === "ENOENT" || e.code === "ENOTDIR") return null;
    throw e;
  }
}

/** Replaces the manifest in one step: { directory, entry, inputs, stats (null: look at the contents), contents }. */
export function saveManifest(root, manifest) {
  const file = manifestOf(root);
  writeFileSync(`${file}.${process.pid}`, `${JSON.stringify(manifest)}\n`);
  renameSync(`${file}.${process.pid}`, file);
}

/** On a checkout that cannot be written, contents are compared at each start. */
function tryToSave(root, manifest) {
  try {
    saveManifest(root, manifest);
  } catch (e) {
    if (!["EROFS", "EACCES", "EPERM"].includes(e.code)) throw e;
  }
}
