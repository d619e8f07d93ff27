/** Makes the bundle (see bundle.mjs) of services/gantry. Runs as a program of its own: node infra/setup/make-bundle.mjs */
import { build } from "esbuild";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, renameSync, rmSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { setTimeout } from "node:timers/promises";
import { bundlesDir, saveManifest } from "./bundle.mjs";
import { contentFingerprint, statFingerprint } from "./fingerprint.mjs";
import { ROOT } from "./paths.mjs";

const ENTRY = "services/gantry/src/main.ts";
const ATTEMPTS = 5;
const PLACE = /\bimport\.meta\.(?:url|filename|dirname)\b|(?<![.\w$"'])__(?:filename|dirname)\b(?!["'])/;

/**
 * A module that asks where it lies, to find a file beside it, hears its own place and not the bundle's; relative to that, for
 * a checkout may be moved.
 */
function placesOf(outdir) {
  return {
    name: "places-of-modules",
    setup({ onLoad }) {
      onLoad({ filter: /\.[cm]?[jt]s$/ }, ({ path }) => {
        const source = readFileSync(path, "utf8");
        if (!PLACE.test(source)) return null;
        const from = (to) => `process.getBuiltinModule("node:path").join(bundleDirectory, ${JSON.stringify(relative(outdir, to))})`;
        const contents = source.replace(new RegExp(PLACE, "g"), (word) => {
          if (word.endsWith("url")) return `process.getBuiltinModule("node:url").pathToFileURL(${from(path)}).href`;
          return from(word.endsWith("dirname") ? dirname(path) : path);
        });
        return { loader: path.endsWith("ts") ? "ts" : "js", contents };
      });
    },
  };
}

/** What decides the bundle beside its own sources: the workspace's manifests, the installed packages, and this program. */
function decidingFiles(root, sources) {
  const packages = new Set(sources.map((file) => /^(?:libs|services)\/[^/]+\//.exec(file)?.[0]).filter((dir) => dir !== undefined));
  const present = [...[...packages].map((dir) => `${dir}package.json`), "node_modules/.pnpm/lock.yaml", "infra/setup/make-bundle.mjs"];
  return [...sources, ...present.filter((file) => statFingerprint(root, [file]) !== null)].sort();
}

/**
 * Bundles `services/gantry/src/main.ts` of a checkout, a file for each dynamic import and for what they share, and makes it the
 * current one. Answers esbuild's description of it (https://esbuild.github.io/api/#metafile); throws when it cannot be made.
 */
export async function makeBundle(root) {
  mkdirSync(bundlesDir(root), { recursive: true });
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const outdir = mkdtempSync(join(bundlesDir(root), ".new-"));
    try {
      const started = Date.now();
      const metafile = await bundleInto(outdir, root);
      const inputs = decidingFiles(root, Object.keys(metafile.inputs).filter((file) => !/(^|\/)node_modules\//.test(file)));
      const contents = contentFingerprint(root, inputs);
      const stats = statFingerprint(root, inputs);
      chmodSync(outdir, 0o755);
      if (stats?.olderThan(started)) {
        publish(root, outdir, { inputs, contents, stats: stats.print });
        return metafile;
      }
    } finally {
      rmSync(outdir, { recursive: true, force: true });
    }
    await setTimeout(100 * attempt);
  }
  throw new Error("the sources change while they are bundled");
}

async function bundleInto(outdir, root) {
  const { metafile } = await build({
    absWorkingDir: root, entryPoints: { gantry: ENTRY }, outdir,
    bundle: true, splitting: true, format: "esm", platform: "node", target: "node26", outExtension: { ".js": ".mjs" },
    sourcemap: "linked", sourcesContent: false, minifyWhitespace: true, minifySyntax: true, metafile: true, logLevel: "silent",
    tsconfigRaw: {}, // the same whatever tsconfig.json says
    external: ["pg-native"], // pg takes it where it is installed
    // CommonJS packages ask for Node's own modules by require.
    banner: { js: 'import { createRequire as createBundleRequire } from "node:module"; const require = createBundleRequire(import.meta.url), bundleDirectory = import.meta.dirname;' },
    plugins: [placesOf(outdir)],
  });
  return metafile;
}

/** Gives the bundle its place, points the manifest at it, and removes others that no process runs from. */
function publish(root, outdir, made) {
  const directory = made.contents.slice(0, 16);
  const place = join(bundlesDir(root), directory);
  try {
    renameSync(outdir, place);
  } catch (e) {
    if (e.code !== "ENOTEMPTY" && e.code !== "EEXIST") throw e; // the same bundle is there
  }
  saveManifest(root, { directory, entry: "gantry.mjs", ...made });
  const used = directoriesHeld();
  for (const other of readdirSync(bundlesDir(root), { withFileTypes: true })) {
    const path = join(bundlesDir(root), other.name);
    if (other.isDirectory() && /^[0-9a-f]{16}$/.test(other.name) && other.name !== directory && !used.has(path)) rmSync(path, { recursive: true, force: true });
  }
}

/** What processes hold open: who runs from a bundle holds its directory (launch.mjs). */
function directoriesHeld() {
  const held = new Set();
  const list = (dir) => { try { return readdirSync(dir); } catch { return []; } }; // it has ended, or is not ours
  for (const pid of list("/proc").filter((name) => /^[0-9]+$/.test(name))) {
    for (const fd of list(`/proc/${pid}/fd`)) {
      try {
        held.add(readlinkSync(`/proc/${pid}/fd/${fd}`));
      } catch {
        // closed since
      }
    }
  }
  return held;
}

if (import.meta.main ?? process.argv[1] === import.meta.filename) await makeBundle(ROOT);
