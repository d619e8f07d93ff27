import { fail } from "@gantry/contracts";
import { parseTime } from "./time.ts";
import type { ImageConfig } from "@gantry/oci";
import type { CatalogImage, CatalogView } from "./catalog.ts";
import { familiarReference } from "./names.ts";

/** A row of `GET /images/{name}/history`. */
export interface HistoryRow {
  Comment: string;
  /** Seconds since the epoch. */
  Created: number;
  CreatedBy: string;
  Id: string;
  /** Bytes of the step's files. */
  Size: number;
  Tags: string[] | null;
}

/**
 * Docker's history, newest first: sizes from the layers of the steps that made one; the newest row has the image's ID, each next
 * the ID of the parent image as long as there is one here, and the rest `<missing>`.
 */
export function imageHistory(catalog: CatalogView, image: CatalogImage, config: ImageConfig): HistoryRow[] {
  const rows: HistoryRow[] = [];
  let layer = 0;
  for (const step of config.history ?? []) {
    let size = 0;
    if (step.empty_layer !== true) {
      const stored = image.layers[layer++];
      if (stored === undefined) throw fail("INTERNAL", "too many non-empty layers in History section");
      size = stored.size;
    }
    rows.push({ Comment: step.comment ?? "", Created: seconds(step.created), CreatedBy: step.created_by ?? "", Id: "<missing>", Size: size, Tags: null });
  }
  rows.reverse();
  let at: string | null = image.id;
  for (const row of rows) {
    row.Id = at;
    const tags = catalog.references(at).filter((ref) => ref.tag !== null).map(familiarReference);
    row.Tags = tags.length === 0 ? null : tags;
    const parent: string | null = catalog.image(at)?.parent ?? null;
    if (parent === null || catalog.image(parent) === null) break;
    at = parent;
  }
  return rows;
}

function seconds(time: string | null | undefined): number {
  const ms = parseTime(time);
  return ms === null ? 0 : Math.floor(ms / 1000);
}
