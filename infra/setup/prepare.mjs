import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { release } from "node:os";
import { join, resolve } from "node:path";
import { buildDashboard } from "./dashboard.mjs";
import { missingPackages } from "./packages.mjs";

export const ROOT = resolve(import.meta.dirname, "../..");
const TOOLS = join(ROOT, ".tools");
const PNPM = "pnpm@12.21.0";

/** Says what is wrong and what to do, and ends. */
function stop(message) {
  console.error(`gantry: ${message}`);
  process.exit(1);
}

function checkSystem() {
  if (process.platform !== "linux") stop("Gantry runs containers in Linux namespaces: it needs a Linux host (Debian 12 is what it is tested on).");
  if (process.arch !== "x64" && process.arch !== "arm64") stop(`no support for ${process.arch} processors; x64 and arm64 are.`);
  if (process.getuid() !== 0) stop("setting up namespaces, mounts and bridges needs root: run it as root, or with sudo.");
  const [major, minor] = release().split(".").map(Number);
  if (major < 5 || (major === 5 && minor < 10)) stop(`the kernel is ${release()}; clone3, openat2 and volatile overlays need 5.10 or newer.`);
}

function dpkgHas() {
  const out = spawnSync("dpkg-query", ["-W", "-f", "${Package} ${db:Status-Abbrev}\n"], { encoding: "utf8", maxBuffer: 1 << 26 });
  if (out.error) stop("this is not a Debian system (no dpkg-query). Gantry's set-up installs Debian packages; on another system install what infra/setup/packages.mjs lists and start services/gantry/src/main.ts with Node 26.");
  const names = new Set(out.stdout.split("\n").filter((l) => / ii/.test(l)).map((l) => l.split(" ")[0].replace(/:.*/, "")));
  return (name) => names.has(name);
}

/** Debian starts a service when its package is installed; tests start their own. */
function withoutServiceStart(work) {
  const policy = "/usr/sbin/policy-rc.d";
  const mine = !existsSync(policy);
  if (mine) {
    writeFileSync(policy, "#!/bin/sh\nexit 101\n");
    chmodSync(policy, 0o755);
  }
  try {
    work();
  } finally {
    if (mine) rmSync(policy, { force: true });
  }
}

function apt(...args) {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  return spawnSync("apt-get", args, { env, stdio: ["ignore", "pipe", "pipe"], encoding: "utf8", maxBuffer: 1 << 26 });
}

function installPackages(task) {
  const missing = missingPackages(task, dpkgHas());
  const names = Object.keys(missing);
  if (names.length === 0) return;
  console.log("Installing Debian packages:");
  for (const [name, why] of Object.entries(missing)) console.log(`  ${name.padEnd(18)} ${why}`);
  withoutServiceStart(() => {
    let done = apt("install", "-y", "-q", "--no-install-recommends", ...names);
    if (done.status !== 0) {
      apt("update", "-q");
      done = apt("install", "-y", "-q", "--no-install-recommends", ...names);
    }
    if (done.status !== 0) stop(`apt-get could not install ${names.join(" ")}:\n${done.stderr.trim()}`);
  });
}

/** Everything that decides what `pnpm install` brings. */
function dependencyStamp() {
  const hash = createHash("sha256").update(process.arch);
  const manifests = ["package.json", "pnpm-lock.yaml", "pnpm-workspace.yaml", "tests/package.json", "bench/package.json"];
  for (const group of ["libs", "services"]) {
    for (const name of readdirSync(join(ROOT, group)).sort()) manifests.push(`${group}/${name}/package.json`);
  }
  for (const file of manifests) if (existsSync(join(ROOT, file))) hash.update(file).update(readFileSync(join(ROOT, file)));
  return hash.digest("hex");
}

function installDependencies() {
  const stampFile = join(ROOT, "node_modules", ".gantry-stamp");
  const stamp = dependencyStamp();
  if (existsSync(stampFile) && readFileSync(stampFile, "utf8") === stamp) return;
  const pnpm = join(TOOLS, "node_modules", ".bin", "pnpm");
  if (!existsSync(pnpm)) {
    console.log(`Bringing in ${PNPM} from npm`);
    mkdirSync(TOOLS, { recursive: true });
    writeFileSync(join(TOOLS, "package.json"), '{ "private": true }\n');
    const got = spawnSync("npm", ["install", "--prefix", TOOLS, "--no-audit", "--no-fund", "--loglevel=error", PNPM], { stdio: ["ignore", "ignore", "inherit"], cwd: TOOLS });
    if (got.status !== 0) stop(`npm could not install ${PNPM}; is the npm registry reachable?`);
  }
  console.log("Bringing in Node 26 and the libraries with pnpm");
  const done = spawnSync(pnpm, ["install", "--frozen-lockfile", "--reporter=append-only", "--loglevel=error"], { cwd: ROOT, stdio: ["ignore", "ignore", "inherit"], env: { ...process.env, CI: "true" } });
  if (done.status !== 0) stop("pnpm install failed; its messages are above.");
  writeFileSync(stampFile, stamp);
}

function buildNative() {
  const made = spawnSync("make", ["-s", "-j2", "-C", join(ROOT, "native")], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  if (made.status !== 0) stop(`native/ does not build:\n${made.stderr}`);
}

/**
 * Makes this machine able to carry out `task` ("start", "demo", "testbed", "test", "bench"): checks the system, then brings in Debian
 * packages, Node 26 and pnpm 12 with the libraries, and builds native/ and
 * the dashboard. Each is skipped when it is there. Answers Node 26's path.
 */
export function prepare(task) {
  checkSystem();
  installPackages(task);
  installDependencies();
  buildNative();
  const node = join(ROOT, "node_modules", "node", "bin", "node");
  const trouble = buildDashboard(ROOT, node);
  if (trouble !== null) stop(trouble);
  return node;
}

/** A docker command for tests: the machine's own, else Debian's client unpacked beneath .tools (no daemon is installed). */
export function dockerCommandDir() {
  if (spawnSync("docker", ["--version"]).status === 0) return null;
  const dir = join(TOOLS, "docker");
  const bin = join(dir, "usr", "bin");
  if (!existsSync(join(bin, "docker"))) {
    console.log("Bringing in Debian's docker command (client only)");
    mkdirSync(dir, { recursive: true });
    if (spawnSync("apt-get", ["download", "-q", "docker.io"], { cwd: dir }).status !== 0) {
      apt("update", "-q");
      execFileSync("apt-get", ["download", "-q", "docker.io"], { cwd: dir, stdio: "inherit" });
    }
    const deb = readdirSync(dir).find((f) => f.endsWith(".deb"));
    execFileSync("dpkg", ["-x", join(dir, deb), dir]);
  }
  return bin;
}
