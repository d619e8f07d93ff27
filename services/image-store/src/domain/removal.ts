import { fail } from "@gantry/contracts";
import { shortId, type GantryError } from "@gantry/kernel";
import { fullName, parseReference, withDefaultTag } from "@gantry/oci";
import type { CatalogImage, Change, ImageReference } from "./catalog.ts";
import type { Catalog } from "./catalog.ts";
import { findImage, isIdPrefix } from "./lookup.ts";
import { familiarReference } from "./names.ts";

/** A container that was made from an image. */
export interface ImageUse { readonly containerId: string; readonly imageId: string; readonly running: boolean }

export interface RemovalRow { Untagged?: string; Deleted?: string }

export interface Removal {
  /** Docker's answer, in its order. */
  readonly rows: RemovalRow[];
  readonly changes: Change[];
  readonly events: { readonly action: "untag" | "delete"; readonly imageId: string; readonly labels: CatalogImage["labels"] }[];
  /** Bytes of the files in layers that no image has any more. */
  readonly reclaimed: number;
}

/** Images whose containers the planner must know of: the image itself and its ancestors, which may be pruned. */
export function imagesAtStake(catalog: Catalog, image: CatalogImage): string[] {
  const ids: string[] = [];
  for (let at: CatalogImage | null = image; at !== null && !ids.includes(at.id); at = at.parent === null ? null : catalog.image(at.parent)) ids.push(at.id);
  return ids;
}

/**
 * What `docker image rm` does, after Docker's daemon/images rules:
 * - a name is untagged, and the image deleted when that was its last reference; an ID deletes the image with the references of
 *   one repository;
 * - conflicts that force does not lift: dependent child images, running containers; that it does: several repositories,
 *   stopped containers;
 * - with `prune`, parents that nothing else needs follow, quietly.
 * Nothing is changed here. Throws NO_SUCH_IMAGE, INVALID, IMAGE_IN_USE in Docker's words.
 */
export function planRemoval(
  catalog: Catalog, text: string, options: { force: boolean; prune: boolean }, uses: readonly ImageUse[],
): Removal {
  const image = findImage(catalog, text);
  const plan = new Plan(catalog, uses);
  let quiet = false;
  if (!isIdPrefix(image.id, text)) {
    if (!options.force && isSingleReference(plan.references(image.id))) {
      const use = uses.find((candidate) => candidate.imageId === image.id);
      if (use !== undefined) {
        throw fail("IMAGE_IN_USE", `conflict: unable to remove repository reference "${text}" (must force) - container ${shortId(use.containerId)} is using its referenced image ${shortId(image.id)}`);
      }
    }
    const named = namedReference(text);
    plan.untag(image, named, true);
    if (named.digest === null && !plan.references(image.id).some((ref) => ref.tag !== null && ref.repo === named.repo)) {
      for (const ref of plan.references(image.id)) if (ref.repo === named.repo) plan.untag(image, ref, false);
    }
    if (plan.references(image.id).length > 0) return plan.result();
    quiet = true;
  } else if (isSingleReference(plan.references(image.id))) {
    const conflict = plan.conflict(image, { soft: !options.force, references: false });
    if (conflict !== null) throw conflict.error;
    for (const ref of plan.references(image.id)) plan.untag(image, ref, true);
  }
  plan.deleteImage(image, { ...options, quiet });
  return plan.result();
}

function namedReference(text: string): ImageReference {
  const ref = withDefaultTag(parseReference(text));
  return ref.digest === null ? { repo: fullName(ref), tag: ref.tag, digest: null } : { repo: fullName(ref), tag: null, digest: ref.digest };
}

/** At most one tag, and every digest in that tag's repository (Docker's isSingleReference). */
export function isSingleReference(references: readonly ImageReference[]): boolean {
  if (references.length <= 1) return true;
  const tags = references.filter((ref) => ref.tag !== null);
  const digestRepos = new Set(references.filter((ref) => ref.digest !== null).map((ref) => ref.repo));
  if (tags.length > 1) return false;
  const repo = (tags[0] ?? references[0]!).repo;
  return digestRepos.size === 1 && digestRepos.has(repo);
}

interface Conflict { readonly used: boolean; readonly error: GantryError }

class Plan {
  readonly #catalog: Catalog;
  readonly #uses: readonly ImageUse[];
  readonly #untagged = new Set<string>();
  readonly #deleted = new Set<string>();
  readonly #droppedChains = new Map<string, number>();
  readonly #rows: RemovalRow[] = [];
  readonly #changes: Change[] = [];
  readonly #events: Removal["events"] = [];
  #reclaimed = 0;

  constructor(catalog: Catalog, uses: readonly ImageUse[]) {
    this.#catalog = catalog;
    this.#uses = uses;
  }

  result(): Removal {
    return { rows: this.#rows, changes: this.#changes, events: this.#events, reclaimed: this.#reclaimed };
  }

  references(id: string): ImageReference[] {
    return this.#catalog.references(id).filter((ref) => !this.#untagged.has(familiarReference(ref)));
  }

  #children(id: string): string[] {
    return this.#catalog.children(id).filter((child) => !this.#deleted.has(child));
  }

  untag(image: CatalogImage, ref: ImageReference, announce: boolean): void {
    const text = familiarReference(ref);
    this.#untagged.add(text);
    this.#rows.push({ Untagged: text });
    this.#changes.push(ref.tag === null ? { type: "undigest", repo: ref.repo, digest: ref.digest! } : { type: "untag", repo: ref.repo, tag: ref.tag });
    if (announce) this.#events.push({ action: "untag", imageId: image.id, labels: image.labels });
  }

  conflict(image: CatalogImage, check: { soft: boolean; references: boolean }): Conflict | null {
    const mine = this.#uses.filter((use) => use.imageId === image.id);
    const running = mine.find((use) => use.running);
    const stopped = mine.find((use) => !use.running);
    if (this.#children(image.id).length > 0) return conflictOf(image, "cannot", "image has dependent child images", false);
    if (running !== undefined) return conflictOf(image, "cannot", `image is being used by running container ${shortId(running.containerId)}`, true);
    if (!check.soft) return null;
    if (check.references && this.references(image.id).length > 0) return conflictOf(image, "must", "image is referenced in multiple repositories", false);
    if (stopped !== undefined) return conflictOf(image, "must", `image is being used by stopped container ${shortId(stopped.containerId)}`, true);
    return null;
  }

  /** Deletes an image and, with `prune`, its unneeded parents. A quiet conflict that is no news ends the walk. */
  deleteImage(first: CatalogImage, options: { force: boolean; prune: boolean; quiet: boolean }): void {
    let { force, quiet } = options;
    for (let image: CatalogImage | null = first; image !== null;) {
      const conflict = this.conflict(image, { soft: !force, references: true });
      if (conflict !== null) {
        const dangling = this.references(image.id).length === 0 && this.#children(image.id).length === 0;
        if (quiet && (!dangling || conflict.used)) return;
        throw conflict.error;
      }
      for (const ref of this.references(image.id)) this.untag(image, ref, true);
      this.#delete(image);
      if (!options.prune || image.parent === null) return;
      image = this.#catalog.image(image.parent);
      force = false;
      quiet = true;
    }
  }

  #delete(image: CatalogImage): void {
    this.#deleted.add(image.id);
    this.#rows.push({ Deleted: image.id });
    this.#changes.push({ type: "deleteImage", id: image.id });
    this.#events.push({ action: "delete", imageId: image.id, labels: image.labels });
    for (const manifest of this.#catalog.manifestsOfImage(image.id)) this.#changes.push(...forgetManifest(this.#catalog, manifest.digest));
    // A container holds the layers it runs on, whatever became of its image.
    const held = new Set(this.#uses.flatMap((use) => this.#catalog.image(use.imageId)?.chainIds ?? []));
    for (let i = image.chainIds.length - 1; i >= 0; i--) {
      const chainId = image.chainIds[i]!;
      const dropped = (this.#droppedChains.get(chainId) ?? 0) + 1;
      this.#droppedChains.set(chainId, dropped);
      if (held.has(chainId) || dropped < this.#catalog.chainUsers(chainId)) continue;
      this.#rows.push({ Deleted: chainId });
      this.#reclaimed += image.layers[i]!.size;
    }
  }
}

/** Changes that take an image away with its references and manifests. */
export function forgetImage(catalog: Catalog, id: string): Change[] {
  return [
    ...catalog.references(id).map((ref): Change => (ref.tag === null ? { type: "undigest", repo: ref.repo, digest: ref.digest! } : { type: "untag", repo: ref.repo, tag: ref.tag })),
    { type: "deleteImage", id },
    ...catalog.manifestsOfImage(id).flatMap((manifest) => forgetManifest(catalog, manifest.digest)),
  ];
}

/** Changes that take a manifest away, unless an index lists it; an index takes along what only it listed, images apart. */
export function forgetManifest(catalog: Catalog, digest: string, except: string | null = null): Change[] {
  for (const other of catalog.manifests()) if (other.kind === "index" && other.digest !== except && other.refs.includes(digest)) return [];
  const record = catalog.manifest(digest);
  const changes: Change[] = catalog.manifestRepositories(digest).map((repo): Change => ({ type: "undigest", repo, digest }));
  if (record === null) return changes;
  changes.push({ type: "deleteManifest", digest });
  if (record.kind === "index") {
    for (const child of record.refs) {
      const held = catalog.manifest(child)?.imageId;
      if (held === null || (held !== undefined && catalog.image(held) === null)) changes.push(...forgetManifest(catalog, child, digest));
    }
  }
  return changes;
}

function conflictOf(image: CatalogImage, forced: "cannot" | "must", why: string, used: boolean): Conflict {
  const words = forced === "cannot" ? "cannot be forced" : "must be forced";
  return { used, error: fail("IMAGE_IN_USE", `conflict: unable to delete ${shortId(image.id)} (${words}) - ${why}`) };
}
