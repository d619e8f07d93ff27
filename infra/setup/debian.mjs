import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { statFingerprint } from "./fingerprint.mjs";
import { missingPackages, wantedPackages } from "./packages.mjs";
import { TOOLS } from "./paths.mjs";
import { isStamped, stamp } from "./stamps.mjs";
import { stop } from "./stop.mjs";

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

/** Brings in the packages of a task. dpkg replaces its status file with each change: while it is the same, nothing is missing. */
export function installPackages(task) {
  const state = () => {
    const status = statFingerprint("/", ["var/lib/dpkg/status"]);
    return status && `${status.print} ${Object.keys(wantedPackages(task)).join(" ")}`;
  };
  if (isStamped(`packages-${task}`, state())) return;
  const missing = missingPackages(task, dpkgHas());
  const names = Object.keys(missing);
  if (names.length > 0) {
    console.log("Installing Debian packages:");
    for (const [name, why] of Object.entries(missing)) console.log(`  ${name.padEnd(18)} ${why}`);
    withoutServiceStart(() => install(names));
  }
  stamp(`packages-${task}`, state());
}

function install(names) {
  let done = apt("install", "-y", "-q", "--no-install-recommends", ...names);
  if (done.status !== 0) {
    apt("update", "-q");
    done = apt("install", "-y", "-q", "--no-install-recommends", ...names);
  }
  if (done.status !== 0) stop(`apt-get could not install ${names.join(" ")}:\n${done.stderr.trim()}`);
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
