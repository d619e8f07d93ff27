import { fail } from "@gantry/contracts";
import type { Catalog, CatalogImage, ImageReference } from "./catalog.ts";
import { matchGlob } from "./glob.ts";
import { findImage } from "./lookup.ts";
import { familiarReference, familiarRepository } from "./names.ts";
import { parseUntil } from "./time.ts";

/** A row of `GET /images/json`. */
export interface ImageSummary {
  Containers: number;
  /** Seconds since the epoch. */
  Created: number;
  Id: string;
  Labels: Readonly<Record<string, string>> | null;
  ParentId: string;
  RepoDigests: string[];
  RepoTags: string[];
  SharedSize: number;
  Size: number;
}

export type Filters = Readonly<Record<string, readonly string[]>>;

const ACCEPTED = new Set(["dangling", "label", "before", "since", "reference", "until"]);

/** Docker's listing, newest first. Throws INVALID for filters that do not exist or do not parse. */
export function listImages(catalog: Catalog, options: { all: boolean; filters: Filters; sharedSize?: boolean }, now: number): ImageSummary[] {
  const { filters } = options;
  checkFilters(filters, ACCEPTED);
  const dangling = booleanFilter(filters, "dangling");
  const before = (filters["before"] ?? []).map((ref) => findImage(catalog, ref).created ?? 0);
  const since = (filters["since"] ?? []).map((ref) => findImage(catalog, ref).created ?? 0);
  const until = (filters["until"] ?? []).map((text) => parseUntil(text, now));
  const patterns = filters["reference"] ?? [];
  const rows: { row: ImageSummary; created: number }[] = [];
  for (const image of catalog.images()) {
    const created = image.created ?? 0;
    if (before.some((time) => created >= time) || since.some((time) => created <= time) || until.some((time) => created >= time)) continue;
    if (!labelsMatch(filters["label"] ?? [], image.labels)) continue;
    const references = catalog.references(image.id).filter((ref) => patterns.length === 0 || patterns.some((pattern) => matchesReference(pattern, ref)));
    const tags = references.filter((ref) => ref.tag !== null);
    if (references.length === 0) {
      if (patterns.length > 0 || dangling === false) continue;
      if (!options.all && catalog.children(image.id).length > 0) continue;
    } else if (dangling === true && tags.length > 0) {
      continue;
    }
    rows.push({ row: summaryOf(image, references), created });
  }
  // Equal times happen (reproducible builds): the ID makes the order total.
  rows.sort((a, b) => b.created - a.created || (a.row.Id < b.row.Id ? -1 : 1));
  if (options.sharedSize === true) fillSharedSizes(catalog, rows.map(({ row }) => row));
  return rows.map(({ row }) => row);
}

/** What `docker system df` takes off an image's size: layers that another listed image has too. */
function fillSharedSizes(catalog: Catalog, rows: readonly ImageSummary[]): void {
  const layersOf = (row: ImageSummary) => {
    const image = catalog.image(row.Id);
    return image === null ? [] : image.layers.map((layer, i) => ({ chainId: image.chainIds[i]!, size: layer.size }));
  };
  const users = new Map<string, number>();
  for (const row of rows) for (const { chainId } of layersOf(row)) users.set(chainId, (users.get(chainId) ?? 0) + 1);
  for (const row of rows) row.SharedSize = layersOf(row).reduce((sum, { chainId, size }) => sum + (users.get(chainId)! > 1 ? size : 0), 0);
}

function summaryOf(image: CatalogImage, references: readonly ImageReference[]): ImageSummary {
  return {
    Containers: -1,
    Created: Math.floor((image.created ?? 0) / 1000),
    Id: image.id,
    Labels: image.labels,
    ParentId: image.parent ?? "",
    RepoDigests: references.filter((ref) => ref.digest !== null).map(familiarReference),
    RepoTags: references.filter((ref) => ref.tag !== null).map(familiarReference),
    SharedSize: -1,
    Size: image.size,
  };
}

/** Docker's FamiliarMatch: the pattern fits the whole reference or its name alone. */
function matchesReference(pattern: string, ref: ImageReference): boolean {
  return matchGlob(pattern, familiarReference(ref)) || matchGlob(pattern, familiarRepository(ref.repo));
}

/** Every `key` or `key=value` must be there. */
export function labelsMatch(wanted: readonly string[], labels: Readonly<Record<string, string>> | null): boolean {
  return wanted.every((text) => {
    const equals = text.indexOf("=");
    const key = equals < 0 ? text : text.slice(0, equals);
    return labels !== null && Object.hasOwn(labels, key) && (equals < 0 || labels[key] === text.slice(equals + 1));
  });
}

export function checkFilters(filters: Filters, accepted: ReadonlySet<string>): void {
  for (const name of Object.keys(filters)) if (!accepted.has(name)) throw fail("INVALID", `invalid filter '${name}'`);
}

/** null where the filter is not given. Throws INVALID for other words than Go's booleans, and for both at once. */
export function booleanFilter(filters: Filters, name: string): boolean | null {
  const values = new Set((filters[name] ?? []).map((text) => {
    if (/^(1|t|true)$/i.test(text)) return true;
    if (/^(0|f|false)$/i.test(text)) return false;
    throw fail("INVALID", `invalid filter '${name}=[${text}]'`);
  }));
  if (values.size > 1) throw fail("INVALID", `invalid filter '${name}=[${(filters[name] ?? []).join(" ")}]'`);
  return values.size === 0 ? null : values.has(true);
}
