import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { contentFingerprint } from "./fingerprint.mjs";
import { ROOT, TOOLS } from "./paths.mjs";
import { isStamped, stamp } from "./stamps.mjs";
import { stop } from "./stop.mjs";

const PNPM = "pnpm@12.21.0";

/** The Node that everything but the set-up itself runs on. */
export const NODE = join(ROOT, "node_modules", "node", "bin", "node");

/** Everything that decides what `pnpm install` brings. */
function decidingFiles() {
  const packages = ["libs", "services"].flatMap((group) => readdirSync(join(ROOT, group)).sort().map((name) => `${group}/${name}/package.json`));
  return ["package.json", "pnpm-lock.yaml", "pnpm-workspace.yaml", "tests/package.json", "bench/package.json", ...packages].filter((file) => existsSync(join(ROOT, file)));
}

/** Brings in Node 26 and the libraries. */
export function installDependencies() {
  const state = `${process.arch} ${contentFingerprint(ROOT, decidingFiles())}`;
  if (isStamped("dependencies", state) && existsSync(NODE)) return;
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
  stamp("dependencies", state);
}
