import { on, type Route } from "@gantry/bus";
import { containerCommit, imagePut, imageResolve, nodeContainerDiff } from "@gantry/contracts";
import { rfc3339Nano } from "@gantry/kernel";
import { callNode, type Context } from "../context.ts";
import { emitContainer } from "../docker-events.ts";
import { applyChange, committedConfig } from "../domain/commit.ts";
import { mergeConfig, readConfig } from "../domain/config.ts";
import { resolveContainer } from "../store/containers.ts";

const DIFF_TIMEOUT_MS = 3_600_000;

export function commitRoutes(context: Context): Route[] {
  return [on(containerCommit, async ({ ref, repo, tag, author, comment, pause, changes, config: given }) => {
    const record = await resolveContainer(context.database.query, ref);
    const base = structuredClone(record.spec.config);
    const config = given === null ? base : mergeConfig(readConfig(given), base);
    for (const change of changes) applyChange(config, change);
    const parent = await context.bus.call(imageResolve, { ref: record.imageId });
    const layer = await callNode(context, record.nodeId, nodeContainerDiff, { id: record.id, epoch: context.leader.epoch, pause }, { timeoutMs: DIFF_TIMEOUT_MS });
    const created = rfc3339Nano(context.clock.nowNano());
    const image = committedConfig({ parent: parent.config, config, containerId: record.id, layer, created, author, comment });
    const added = layer.empty ? [] : [{ diffId: layer.diffId, digest: layer.digest, mediaType: layer.mediaType, blobSize: layer.blobSize, size: layer.size }];
    const { id } = await context.bus.call(imagePut, {
      config: JSON.stringify(image), parent: record.imageId, tags: repo === null || repo === "" ? [] : [`${repo}:${tag === null || tag === "" ? "latest" : tag}`],
      layers: [...parent.layers.map(({ diffId, digest, mediaType, blobSize, size }) => ({ diffId, digest, mediaType, blobSize, size })), ...added],
    });
    await context.leader.transaction((_tx, outbox) => emitContainer(outbox, context.clock, record, "commit", {
      comment, imageID: id, ...(repo === null || repo === "" ? {} : { imageRef: `${repo}:${tag === null || tag === "" ? "latest" : tag}` }),
    }));
    return { id };
  })];
}
