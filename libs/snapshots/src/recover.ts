import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { bootId, type Logger } from "@gantry/kernel";
import type { Durability } from "./durability.ts";
import { readLayer, readSnapshot } from "./layout.ts";
import type { Workshop } from "./workshop.ts";

/**
 * After a crash of the host, layers that were not synced may be torn, as may volatile snapshots: they go, and with a layer those
 * that stand on it. What dead processes left half made goes too. To be called under the exclusive lock.
 */
export function recover(dir: string, workshop: Workshop, durability: Durability, logger: Logger): void {
  const layers = new Map(readdirSync(join(dir, "l")).map((name) => [name, readLayer(dir, name)]));
  for (const [name, layer] of layers) {
    const synced = existsSync(join(dir, "l", name, "d"));
    if (layer !== null && (synced || layer.boot === bootId())) {
      if (!synced) durability.add(name);
      continue;
    }
    logger.warn({ layer: layer?.chainId ?? name }, "layer was not on disk when the host went down; removed");
    workshop.discard(join(dir, "l", name));
    layers.delete(name);
  }
  for (const [name, layer] of layers) {
    if (layer!.chain.every((below) => layers.has(below))) continue;
    logger.warn({ layer: layer!.chainId }, "layer stands on one that is gone; removed");
    workshop.discard(join(dir, "l", name));
  }
  for (const name of readdirSync(join(dir, "s"))) {
    const snapshot = readSnapshot(dir, name);
    if (snapshot !== null && !(snapshot.volatile && snapshot.boot !== bootId())) continue;
    logger.warn({ snapshot: snapshot?.key ?? name }, "volatile snapshot did not outlive the host; removed");
    workshop.discard(join(dir, "s", name));
  }
  workshop.sweep();
}
