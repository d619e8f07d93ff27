import { existsSync, openSync } from "node:fs";
import { enableCompileCache, flushCompileCache, setSourceMapsSupport } from "node:module";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { currentBundle } from "./bundle.mjs";
import { ROOT, TOOLS } from "./paths.mjs";

/** When what a start has compiled is kept for the next one: a service may run for months, or be killed. */
const FLUSH_MS = 5000;

/** Runs the `gantry` command in this process, which is Node 26's: from the bundle if it is current, else from the sources. */
export async function launch(bundle = currentBundle(ROOT)) {
  if (bundle !== null) {
    openSync(dirname(bundle)); // never closed: while this process lives, what it has yet to import stays (make-bundle.mjs)
    setSourceMapsSupport(true, { nodeModules: true });
  }
  const cache = bundle === null ? join(TOOLS, "compile-cache") : join(dirname(bundle), "compile-cache");
  if (!existsSync(cache)) setTimeout(flushCompileCache, FLUSH_MS).unref();
  enableCompileCache(cache);
  await import(pathToFileURL(bundle ?? join(ROOT, "services/gantry/src/main.ts")).href);
}
