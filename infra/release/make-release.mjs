/**
 * What is installed on a host or into a service's image: Node, the bundled services, native code and the dashboard, without
 * sources, packages or compilers. It runs wherever it is put.
 */
import { chmodSync, copyFileSync, cpSync, linkSync, mkdirSync, readFileSync, realpathSync, renameSync, rmSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { NODE } from "../setup/dependencies.mjs";
import { ROOT } from "../setup/paths.mjs";

/** What bundled modules read from where they were installed: they look for it at the same place, from the bundle. */
const READ_BY_MODULES = ["services/api/node_modules/@fastify/swagger-ui/static", "services/api/node_modules/@fastify/swagger/package.json"];

/**
 * Lays out a release in `dir`, in one step: an older one is replaced. `bundle` is the bundle's entry.
 *
 *     bin/gantry, bin/node           the command, and what it runs on
 *     build/bundle/gantry/           the services and the client
 *     node_modules/                  the pages of /docs
 *     native/build/                  the spawner (static) and the addon (needs libnftables1)
 *     services/dashboard/dist/       the dashboard, which the API serves
 *     systemd/, etc/                 units, and configurations to begin with
 *     Dockerfile                     the service images, of which the release is the build context
 */
export function makeRelease(dir, bundle) {
  const place = resolve(dir);
  const fresh = `${place}.new-${process.pid}`;
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(join(fresh, "bin"), { recursive: true });
  mkdirSync(join(fresh, "native/build"), { recursive: true });
  copyExecutable(join(import.meta.dirname, "gantry.sh"), join(fresh, "bin/gantry"));
  linkOrCopy(NODE, join(fresh, "bin/node"));
  const isCache = (path) => path.endsWith("/compile-cache");
  cpSync(dirname(bundle), join(fresh, "build/bundle/gantry"), { recursive: true, filter: (from) => !isCache(from) });
  for (const name of READ_BY_MODULES) {
    const from = realpathSync(join(ROOT, name));
    cpSync(from, join(fresh, relative(ROOT, from)), { recursive: true });
  }
  for (const name of ["gantry-shim", "gantry.node"]) copyExecutable(join(ROOT, "native/build", name), join(fresh, "native/build", name));
  cpSync(join(ROOT, "services/dashboard/dist"), join(fresh, "services/dashboard/dist"), { recursive: true });
  for (const name of ["systemd", "etc"]) cpSync(join(ROOT, "infra", name), join(fresh, name), { recursive: true });
  copyFileSync(join(ROOT, "infra/images/Dockerfile"), join(fresh, "Dockerfile"));
  copyFileSync(join(ROOT, "LICENSE"), join(fresh, "LICENSE"));
  rmSync(place, { recursive: true, force: true });
  renameSync(fresh, place);
  return { dir: place, version: JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")).version };
}

function copyExecutable(from, to) {
  copyFileSync(from, to);
  chmodSync(to, 0o755);
}

/** Node's binary is large, and never changed in place. */
function linkOrCopy(from, to) {
  try {
    linkSync(from, to);
  } catch (e) {
    if (e.code !== "EXDEV" && e.code !== "EMLINK" && e.code !== "EPERM") throw e;
    copyExecutable(from, to);
  }
}
