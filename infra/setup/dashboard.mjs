import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { NODE } from "./dependencies.mjs";
import { statFingerprint } from "./fingerprint.mjs";
import { ROOT } from "./paths.mjs";
import { isStamped, stamp } from "./stamps.mjs";
import { stop } from "./stop.mjs";

const DIR = "services/dashboard";

/** All that the page is built from, and what was made of it. */
function state() {
  const sources = readdirSync(join(ROOT, DIR, "src"), { recursive: true }).sort().map((name) => join("src", name));
  return statFingerprint(ROOT, ["index.html", "package.json", "vite.config.ts", ...sources, "dist/index.html"].map((name) => join(DIR, name)))?.print ?? null;
}

/** Builds services/dashboard into its dist/. */
export function buildDashboard() {
  if (isStamped("dashboard", state())) return;
  const dir = join(ROOT, DIR);
  const built = spawnSync(NODE, [join(dir, "node_modules", "vite", "bin", "vite.js"), "build", "--logLevel", "warn"], { cwd: dir, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  if (built.status !== 0) stop(`services/dashboard does not build:\n${built.stdout}${built.stderr}`);
  stamp("dashboard", state());
}
