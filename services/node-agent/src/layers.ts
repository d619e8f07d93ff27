import { fail, type LayerInfo } from "@gantry/contracts";
import { isGantryError, retry } from "@gantry/kernel";
import { ensureLayers } from "@gantry/snapshots";
import type { Agent } from "./context.ts";

/** About ten seconds. */
const ATTEMPTS = 6;

/** Every layer of an image unpacked on this host; answers the topmost chain ID, null for an image without layers. IMAGE_UNAVAILABLE. */
export async function ensureImageLayers(agent: Agent, layers: readonly LayerInfo[]): Promise<string | null> {
  const top = layers.at(-1);
  if (!top) return null;
  try {
    // Layers that came are here; what is fetched again begins with the one that did not.
    await retry(() => ensureLayers(agent.snapshots, agent.content, layers, { logger: agent.logger, signal: agent.stopping }), {
      clock: agent.clock, attempts: ATTEMPTS, baseMs: 200, maxMs: 4_000, signal: agent.stopping, retryable: (e) => isGantryError(e, "UNAVAILABLE"),
      onRetry: (e, attempt) => agent.logger.warn({ err: e, attempt }, "the image store does not give a layer; it is asked again"),
    });
  } catch (e) {
    if (!isGantryError(e, "UNAVAILABLE")) throw e;
    throw fail("IMAGE_UNAVAILABLE", `node ${agent.nodeId} cannot fetch the image's layers: ${e.message}`, { cause: e });
  }
  return top.chainId;
}
