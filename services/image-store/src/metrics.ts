import { observe, metric } from "@gantry/telemetry/metrics";
import type { Scope } from "@gantry/kernel";
import type { Catalog } from "./domain/catalog.ts";

/** How much there is, read from the catalog when somebody collects. */
export function observeCatalog(catalog: Catalog, scope: Scope): void {
  scope.use(observe(metric.images, (observed) => observed(catalog.imageCount, {})));
  scope.use(observe(metric.layers, (observed) => observed([...catalog.layers()].length, {})));
  scope.use(observe(metric.layerSize, (observed) => {
    let bytes = 0;
    for (const { layer } of catalog.layers()) bytes += layer.blobSize;
    observed(bytes, {});
  }));
}
