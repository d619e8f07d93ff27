import type { Catalog } from "./catalog.ts";
import { referenceText } from "./catalog.ts";
import { booleanFilter, checkFilters, labelsMatch, type Filters } from "./summary.ts";
import { parseUntil } from "./time.ts";

const ACCEPTED = new Set(["dangling", "label", "label!", "until"]);

/**
 * What `docker image prune` removes, as references to be removed one after another, without force: dangling images, or with
 * `dangling=false` every image; those in use will refuse. Throws INVALID for bad filters.
 */
export function prunable(catalog: Catalog, filters: Filters, now: number): string[] {
  checkFilters(filters, ACCEPTED);
  const danglingOnly = booleanFilter(filters, "dangling") ?? true;
  const until = (filters["until"] ?? []).map((text) => parseUntil(text, now));
  const refs: string[] = [];
  for (const image of catalog.images()) {
    const references = catalog.references(image.id);
    const children = catalog.children(image.id).length;
    if (children > 0 && (danglingOnly || references.length === 0)) continue;
    if (until.some((time) => image.created === null || image.created > time)) continue;
    if (!labelsMatch(filters["label"] ?? [], image.labels)) continue;
    if ((filters["label!"] ?? []).some((label) => labelsMatch([label], image.labels))) continue;
    if (references.length === 0) refs.push(image.id.slice("sha256:".length));
    else if (!danglingOnly || references.every((ref) => ref.tag === null)) refs.push(...references.map(referenceText));
  }
  return refs;
}
