import { chainIds, DEFAULT_DOMAIN } from "@gantry/oci";
import type { CatalogImage, CatalogView, Change, ImageRecord, ImageReference, ManifestRecord, RepoDigestRecord, StoredLayer, TagRecord } from "./records.ts";

export type * from "./records.ts";

const MAX_FENCES = 10_000;

interface Repository {
  readonly tags: Map<string, TagRecord>;
  readonly digests: Map<string, RepoDigestRecord>;
}

/** All images, tags and manifests, in memory. No I/O: whoever changes it has written the change first. */
export class Catalog implements CatalogView {
  readonly #images = new Map<string, CatalogImage>();
  readonly #children = new Map<string, Set<string>>();
  readonly #repositories = new Map<string, Repository>();
  readonly #references = new Map<string, Map<string, ImageReference>>();
  readonly #manifests = new Map<string, ManifestRecord>();
  readonly #manifestRepos = new Map<string, Set<string>>();
  readonly #byConfig = new Map<string, Set<string>>();
  readonly #bySubject = new Map<string, Set<string>>();
  /** Layer blob → what is in it; counted, as many images share a layer. */
  readonly #layers = new Map<string, { layer: StoredLayer; images: number }>();
  /** Diff ID → digests of blobs in {@link #layers} that hold it. */
  readonly #byDiffId = new Map<string, Set<string>>();
  readonly #chains = new Map<string, number>();
  /** Diff ID → the gzip blob that this store once made of it for a push; the blob itself is not kept. */
  readonly #compressed = new Map<string, { readonly digest: string; readonly size: number }>();
  /** Claims of others that names are asked for under: key → the greatest epoch seen. */
  readonly #fences = new Map<string, number>();
  #sortedIds: string[] | null = null;
  #version = 0;

  /** Grows with every change. */
  get version(): number {
    return this.#version;
  }

  apply(changes: Iterable<Change>): void {
    this.#version++;
    for (const change of changes) this.#apply(change);
  }

  #apply(change: Change): void {
    switch (change.type) {
      case "image": return this.#putImage(change.record);
      case "deleteImage": return this.#deleteImage(change.id);
      case "tag": return this.#putTag(change.record);
      case "untag": return this.#deleteTag(change.repo, change.tag);
      case "digest": return this.#putDigest(change.record);
      case "undigest": return this.#deleteDigest(change.repo, change.digest);
      case "manifest": return this.#putManifest(change.record);
      case "deleteManifest": return this.#deleteManifest(change.digest);
      case "fence": return this.#putFence(change.key, change.epoch);
      case "compressed": return void this.#compressed.set(change.diffId, { digest: change.digest, size: change.size });
    }
  }

  /** The greatest epoch seen under a key; 0: none. */
  fence(key: string): number {
    return this.#fences.get(key) ?? 0;
  }

  #putFence(key: string, epoch: number): void {
    this.#fences.delete(key);
    this.#fences.set(key, epoch);
    if (this.#fences.size > MAX_FENCES) this.#fences.delete(this.#fences.keys().next().value!);
  }

  image(id: string): CatalogImage | null {
    return this.#images.get(id) ?? null;
  }

  images(): IterableIterator<CatalogImage> {
    return this.#images.values();
  }

  get imageCount(): number {
    return this.#images.size;
  }

  children(id: string): readonly string[] {
    return [...(this.#children.get(id) ?? [])];
  }

  references(id: string): readonly ImageReference[] {
    const found = this.#references.get(id);
    return found === undefined ? [] : [...found.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, ref]) => ref);
  }

  tag(repo: string, tag: string): TagRecord | null {
    return this.#repositories.get(repo)?.tags.get(tag) ?? null;
  }

  /** Tags of a repository, sorted; null where there is no such repository. */
  tags(repo: string): TagRecord[] | null {
    const found = this.#repositories.get(repo);
    return found === undefined ? null : [...found.tags.values()].sort((a, b) => (a.tag < b.tag ? -1 : 1));
  }

  digest(repo: string, digest: string): RepoDigestRecord | null {
    return this.#repositories.get(repo)?.digests.get(digest) ?? null;
  }

  /** Names of all repositories, sorted. */
  repositories(): string[] {
    return [...this.#repositories.keys()].sort();
  }

  manifest(digest: string): ManifestRecord | null {
    return this.#manifests.get(digest) ?? null;
  }

  manifests(): IterableIterator<ManifestRecord> {
    return this.#manifests.values();
  }

  /** Repositories in which a manifest is known. */
  manifestRepositories(digest: string): readonly string[] {
    return [...(this.#manifestRepos.get(digest) ?? [])];
  }

  /** Manifests whose config is this image's. */
  manifestsOfImage(id: string): ManifestRecord[] {
    return [...(this.#byConfig.get(id) ?? [])].map((digest) => this.#manifests.get(digest)!);
  }

  /** Manifests that name `digest` as their subject. */
  referrers(digest: string): ManifestRecord[] {
    return [...(this.#bySubject.get(digest) ?? [])].sort().map((d) => this.#manifests.get(d)!);
  }

  /** What is known of a layer's blob from the images that use it. */
  layer(digest: string): StoredLayer | null {
    return this.#layers.get(digest)?.layer ?? null;
  }

  /** A layer with these files that some image has, however its blob is compressed. */
  layerByDiffId(diffId: string): StoredLayer | null {
    const [digest] = this.#byDiffId.get(diffId) ?? [];
    return digest === undefined ? null : this.layer(digest);
  }

  /** What a push made of an uncompressed layer, which the registry it went to may still have. */
  compressedOf(diffId: string): { readonly digest: string; readonly size: number } | null {
    return this.#compressed.get(diffId) ?? null;
  }

  layers(): IterableIterator<{ readonly layer: StoredLayer }> {
    return this.#layers.values();
  }

  /** How many images hold this chain. */
  chainUsers(chainId: string): number {
    return this.#chains.get(chainId) ?? 0;
  }

  /** The image whose ID starts with these hex digits; null where there is none or more than one. */
  byPrefix(prefix: string): CatalogImage | null {
    const hex = prefix.startsWith("sha256:") ? prefix.slice(7) : prefix;
    if (!/^[0-9a-f]{1,64}$/.test(hex)) return null;
    const ids = (this.#sortedIds ??= [...this.#images.keys()].sort());
    const wanted = `sha256:${hex}`;
    let low = 0, high = ids.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (ids[middle]! < wanted) low = middle + 1; else high = middle;
    }
    const first = ids[low];
    if (first === undefined || !first.startsWith(wanted) || ids[low + 1]?.startsWith(wanted) === true) return null;
    return this.#images.get(first) ?? null;
  }

  /** Every blob that an image or manifest needs. Config blobs of images live in the database, and are listed all the same. */
  referencedBlobs(): Set<string> {
    const blobs = new Set<string>(this.#layers.keys());
    for (const manifest of this.#manifests.values()) {
      if (manifest.kind === "manifest") for (const ref of manifest.refs) blobs.add(ref);
    }
    return blobs;
  }

  #repository(repo: string): Repository {
    let found = this.#repositories.get(repo);
    if (found === undefined) this.#repositories.set(repo, found = { tags: new Map(), digests: new Map() });
    return found;
  }

  #dropEmpty(repo: string): void {
    const found = this.#repositories.get(repo);
    if (found !== undefined && found.tags.size === 0 && found.digests.size === 0) this.#repositories.delete(repo);
  }

  #putImage(record: ImageRecord): void {
    const before = this.#images.get(record.id);
    if (before !== undefined) this.#deleteImage(record.id);
    const chain = chainIds(record.layers.map((layer) => layer.diffId));
    this.#images.set(record.id, { ...record, chainIds: chain, size: record.layers.reduce((sum, layer) => sum + layer.size, 0) });
    for (const id of chain) this.#chains.set(id, (this.#chains.get(id) ?? 0) + 1);
    for (const layer of record.layers) {
      const known = this.#layers.get(layer.digest);
      if (known === undefined) {
        this.#layers.set(layer.digest, { layer, images: 1 });
        addTo(this.#byDiffId, layer.diffId, layer.digest);
      } else {
        known.images++;
      }
    }
    if (record.parent !== null) addTo(this.#children, record.parent, record.id);
    if (before === undefined) this.#sortedIds = null;
  }

  #deleteImage(id: string): void {
    const image = this.#images.get(id);
    if (image === undefined) return;
    this.#images.delete(id);
    this.#sortedIds = null;
    for (const chainId of image.chainIds) {
      const users = (this.#chains.get(chainId) ?? 1) - 1;
      if (users === 0) this.#chains.delete(chainId); else this.#chains.set(chainId, users);
    }
    for (const layer of image.layers) {
      const known = this.#layers.get(layer.digest);
      if (known !== undefined && --known.images === 0) {
        this.#layers.delete(layer.digest);
        removeFrom(this.#byDiffId, known.layer.diffId, layer.digest);
      }
    }
    if (image.parent !== null) removeFrom(this.#children, image.parent, id);
  }

  #putTag(record: TagRecord): void {
    this.#deleteTag(record.repo, record.tag);
    this.#repository(record.repo).tags.set(record.tag, record);
    if (record.imageId !== null) this.#addReference(record.imageId, { repo: record.repo, tag: record.tag, digest: null });
  }

  #deleteTag(repo: string, tag: string): void {
    const record = this.tag(repo, tag);
    if (record === null) return;
    this.#repositories.get(repo)!.tags.delete(tag);
    if (record.imageId !== null) this.#removeReference(record.imageId, { repo, tag, digest: null });
    this.#dropEmpty(repo);
  }

  #putDigest(record: RepoDigestRecord): void {
    this.#deleteDigest(record.repo, record.digest);
    this.#repository(record.repo).digests.set(record.digest, record);
    addTo(this.#manifestRepos, record.digest, record.repo);
    if (record.imageId !== null) this.#addReference(record.imageId, { repo: record.repo, tag: null, digest: record.digest });
  }

  #deleteDigest(repo: string, digest: string): void {
    const record = this.digest(repo, digest);
    if (record === null) return;
    this.#repositories.get(repo)!.digests.delete(digest);
    removeFrom(this.#manifestRepos, digest, repo);
    if (record.imageId !== null) this.#removeReference(record.imageId, { repo, tag: null, digest });
    this.#dropEmpty(repo);
  }

  #putManifest(record: ManifestRecord): void {
    this.#deleteManifest(record.digest);
    this.#manifests.set(record.digest, record);
    if (record.imageId !== null) addTo(this.#byConfig, record.imageId, record.digest);
    if (record.subject !== null) addTo(this.#bySubject, record.subject, record.digest);
  }

  #deleteManifest(digest: string): void {
    const record = this.#manifests.get(digest);
    if (record === undefined) return;
    this.#manifests.delete(digest);
    if (record.imageId !== null) removeFrom(this.#byConfig, record.imageId, digest);
    if (record.subject !== null) removeFrom(this.#bySubject, record.subject, digest);
  }

  #addReference(id: string, ref: ImageReference): void {
    let found = this.#references.get(id);
    if (found === undefined) this.#references.set(id, found = new Map());
    found.set(referenceText(ref), ref);
  }

  #removeReference(id: string, ref: ImageReference): void {
    const found = this.#references.get(id);
    if (found === undefined) return;
    found.delete(referenceText(ref));
    if (found.size === 0) this.#references.delete(id);
  }
}

function addTo(map: Map<string, Set<string>>, key: string, value: string): void {
  const found = map.get(key);
  if (found === undefined) map.set(key, new Set([value])); else found.add(value);
}

function removeFrom(map: Map<string, Set<string>>, key: string, value: string): void {
  const found = map.get(key);
  if (found === undefined) return;
  found.delete(value);
  if (found.size === 0) map.delete(key);
}

/** `docker.io/library/x:tag` or `…@sha256:…` */
export function referenceText(ref: ImageReference): string {
  return ref.repo + (ref.tag === null ? `@${ref.digest}` : `:${ref.tag}`);
}

/** A full repository name taken apart. */
export function splitRepository(repo: string): { domain: string; path: string } {
  const slash = repo.indexOf("/");
  return slash < 0 ? { domain: DEFAULT_DOMAIN, path: repo } : { domain: repo.slice(0, slash), path: repo.slice(slash + 1) };
}
