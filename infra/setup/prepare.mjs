import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import { currentBundle } from "./bundle.mjs";
import { buildDashboard } from "./dashboard.mjs";
import { installPackages } from "./debian.mjs";
import { NODE, installDependencies } from "./dependencies.mjs";
import { statFingerprint } from "./fingerprint.mjs";
import { ROOT } from "./paths.mjs";
import { isStamped, stamp } from "./stamps.mjs";
import { stop } from "./stop.mjs";

function checkSystem() {
  if (process.platform !== "linux") stop("Gantry runs containers in Linux namespaces: it needs a Linux host (Debian 12 is what it is tested on).");
  if (process.arch !== "x64" && process.arch !== "arm64") stop(`no support for ${process.arch} processors; x64 and arm64 are.`);
  if (process.getuid() !== 0) stop("setting up namespaces, mounts and bridges needs root: run it as root, or with sudo.");
  const [major, minor] = release().split(".").map(Number);
  if (major < 5 || (major === 5 && minor < 10)) stop(`the kernel is ${release()}; clone3, openat2 and volatile overlays need 5.10 or newer.`);
}

/** native/ without its tests, and what was made of it. */
function nativeState() {
  const files = ["addon", "shim", "src"].flatMap((dir) => readdirSync(join(ROOT, "native", dir)).sort().map((name) => `native/${dir}/${name}`));
  return statFingerprint(ROOT, ["native/Makefile", ...files, "native/build/gantry-shim", "native/build/gantry.node"])?.print ?? null;
}

function buildNative() {
  if (isStamped("native", nativeState())) return;
  const made = spawnSync("make", ["-s", "-j2", "-C", join(ROOT, "native")], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  if (made.status !== 0) stop(`native/ does not build:\n${made.stderr}`);
  stamp("native", nativeState());
}

/** Answers the current bundle; null if none can be made: a start then takes longer, which is no reason not to start. */
function bundle() {
  const current = currentBundle(ROOT);
  if (current !== null) return current;
  const made = spawnSync(NODE, [join(ROOT, "infra/setup/make-bundle.mjs")], { encoding: "utf8", stdio: ["ignore", "ignore", "pipe"] });
  if (made.status !== 0) console.error(`gantry: starting from the sources, for they could not be bundled:\n${made.stderr.trim()}`);
  return currentBundle(ROOT);
}

/**
 * Makes this machine able to carry out `task` ("start", "demo", "testbed", "test", "bench"): checks the system, then brings in Debian
 * packages, Node 26 and pnpm 12 with the libraries, builds native/ and the dashboard, and bundles the services. What is there is
 * left alone. Answers the bundle's entry, or null.
 */
export function prepare(task) {
  checkSystem();
  installPackages(task);
  installDependencies();
  buildNative();
  buildDashboard();
  return bundle();
}
