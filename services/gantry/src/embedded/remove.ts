import { readdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { errnoOf, isGantryError } from "@gantry/kernel";
import { endSpawner, loadNative } from "@gantry/runtime";
import { openHostNetwork } from "@gantry/network";
import { silentLogger, systemClock } from "@gantry/kernel";
import { fail } from "@gantry/contracts";
import { connectEngine, type Engine } from "../client/engine.ts";
import type { StateDirectory } from "../state.ts";
import { startEmbedded } from "./start.ts";

const BUILT_IN_NETWORKS = new Set(["bridge", "host", "none"]);

/**
 * Removes every container and network through the engine's own API (started here for that, so that its records agree), then what the
 * host keeps for the instance: spawner, bridges, firewall table, cgroups. Fails when anything of it is still there.
 */
export async function removeEverything(state: StateDirectory): Promise<void> {
  {
    await using scope = new AsyncDisposableStack();
    const socket = state.path("run", "down.sock");
    await startEmbedded({ state, socket, http: [], logLevel: "error" }, scope);
    const engine = connectEngine(`unix://${socket}`);
    scope.defer(() => engine.close());
    await removeContainers(engine);
    for (const network of await engine.json<{ Id: string; Name: string }[]>("GET", "/networks")) {
      if (!BUILT_IN_NETWORKS.has(network.Name)) await gone(engine.open("DELETE", `/networks/${network.Id}`));
    }
  }
  await endSpawner(state.sockets.spawner);
  {
    await using network = await openHostNetwork({ native: loadNative().net, instance: state.instance, clock: systemClock, logger: silentLogger });
    await network.destroy();
    const left = [...await network.leftovers(), ...removeCgroups(state.cgroupParent)];
    if (left.length > 0) throw fail("CONFLICT", `still on this host: ${left.join(", ")}`);
  }
}

async function removeContainers(engine: Engine): Promise<void> {
  const rows = await engine.json<{ Id: string }[]>("GET", "/containers/json", { query: { all: 1 } });
  const worker = async () => {
    for (let row = rows.pop(); row !== undefined; row = rows.pop()) await gone(engine.open("DELETE", `/containers/${row.Id}`, { query: { force: 1, v: 1 } }));
  };
  await Promise.all(Array.from({ length: 4 }, worker));
}

/** A removal that somebody else finished first is one. */
async function gone(removal: Promise<unknown>): Promise<void> {
  try {
    await removal;
  } catch (e) {
    if (!isGantryError(e, "NOT_FOUND")) throw e;
  }
}

/** Removes the instance's parent cgroups of every hierarchy; answers those that still hold something. */
function removeCgroups(parent: string): string[] {
  const left: string[] = [];
  for (const hierarchy of ["", ...readdirSync("/sys/fs/cgroup")]) {
    const path = join("/sys/fs/cgroup", hierarchy, parent);
    try {
      rmdirSync(path);
    } catch (e) {
      if (!["ENOENT", "ENOTDIR"].includes(errnoOf(e) ?? "")) left.push(`cgroup ${path} (${errnoOf(e)})`);
    }
  }
  return left;
}
