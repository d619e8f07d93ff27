import type { LayerInfo } from "@gantry/contracts";
import { ensureLayers } from "@gantry/snapshots";
import type { Agent } from "./context.ts";

/** Every layer of an image unpacked on this host; answers the topmost chain ID, null for an image without layers. */
export async function ensureImageLayers(agent: Agent, layers: readonly LayerInfo[]): Promise<string | null> {
  const top = layers.at(-1);
  if (!top) return null;
  await ensureLayers(agent.snapshots, agent.content, layers, { logger: agent.logger });
  return top.chainId;
}
