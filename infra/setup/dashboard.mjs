import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Names, sizes and times of all that the page is built from. */
function stampOf(dir) {
  const files = ["index.html", "package.json", "vite.config.ts", ...readdirSync(join(dir, "src"), { recursive: true }).sort().map((name) => join("src", name))];
  return files.map((file) => {
    const { size, mtimeMs } = statSync(join(dir, file));
    return `${file} ${size} ${mtimeMs}`;
  }).join("\n");
}

/** Builds services/dashboard with `node` into its dist/, unless that is current. Answers null, or what went wrong. */
export function buildDashboard(root, node) {
  const dir = join(root, "services", "dashboard");
  const stampFile = join(dir, "dist", ".stamp");
  const stamp = stampOf(dir);
  if (existsSync(stampFile) && readFileSync(stampFile, "utf8") === stamp) return null;
  const built = spawnSync(node, [join(dir, "node_modules", "vite", "bin", "vite.js"), "build", "--logLevel", "warn"], { cwd: dir, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  if (built.status !== 0) return `services/dashboard does not build:\n${built.stdout}${built.stderr}`;
  writeFileSync(stampFile, stamp);
  return null;
}
