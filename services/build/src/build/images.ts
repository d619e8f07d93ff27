import type { Bus } from "@gantry/bus";
import { fail, imageFence, imagePut, imageResolve, imageTag, type LayerInfo, type ResolvedImage } from "@gantry/contracts";
import type { HttpClient, Target } from "@gantry/http";
import { type Clock, isGantryError, retry } from "@gantry/kernel";
import { familiarString, type ImageConfig, normalizePlatform, parseImageConfig, parsePlatform, parseReference, platformMatches, type Reference, withDefaultTag } from "@gantry/oci";
import type { BuildMessage } from "../domain/messages.ts";

export interface ImagesOptions {
  readonly bus: Bus;
  readonly http: HttpClient;
  /** HTTP base of the image store. */
  readonly address: string;
  readonly clock: Clock;
}

/** Whose work it is: a build job, and the number of its claim. The image store refuses names from a claim that another one has followed. */
export interface Fence { readonly key: string; readonly epoch: number }

/** An image with its config checked. */
export interface KnownImage {
  readonly id: string;
  readonly config: ImageConfig;
  readonly layers: readonly LayerInfo[];
}

const MAX_LINE = 1024 * 1024;
/** Tries of a call to an image store, broker or database that is away: about a minute. */
const TRIES = 40;
/** How long a pull or push may go without a word. */
const IDLE_MS = 600_000;

/** The image store, as a build needs it. */
export class Images {
  readonly #bus: Bus;
  readonly #http: HttpClient;
  readonly #store: Target;
  readonly #clock: Clock;

  constructor({ bus, http, address, clock }: ImagesOptions) {
    this.#bus = bus;
    this.#http = http;
    this.#store = { address, identity: "service/image-store" };
    this.#clock = clock;
  }

  /** null where the store has none. */
  async find(ref: string): Promise<KnownImage | null> {
    try {
      return known(await this.#patiently(() => this.#bus.call(imageResolve, { ref })));
    } catch (e) {
      if (isGantryError(e, "NO_SUCH_IMAGE")) return null;
      throw e;
    }
  }

  /**
   * A base image: the local one, unless `pull` asks for the registry's or its platform is another. Progress of a pull goes to `tell`.
   * Errors are those of the pull.
   */
  async base(ref: string, options: { pull: boolean; platform: string; auth: Readonly<Record<string, unknown>>; tell: (message: BuildMessage) => void; signal: AbortSignal }): Promise<KnownImage> {
    const wanted = parsePlatform(options.platform);
    const local = await this.find(ref);
    const fits = local !== null && (wanted === null || platformMatches(wanted, platformOf(local.config)));
    if (fits && (!options.pull || isId(ref))) return local;
    if (isId(ref) && local === null) throw fail("NO_SUCH_IMAGE", `No such image: ${ref}`);
    await this.#pull(ref, options);
    const pulled = await this.find(ref);
    if (pulled === null) throw fail("NO_SUCH_IMAGE", `No such image: ${ref}`);
    return pulled;
  }

  async #pull(ref: string, { platform, auth, tell, signal }: { platform: string; auth: Readonly<Record<string, unknown>>; tell: (message: BuildMessage) => void; signal: AbortSignal }): Promise<void> {
    const reference = withDefaultTag(parseReference(ref));
    const query = new URLSearchParams({ ref: familiarString(reference) });
    if (platform !== "") query.set("platform", platform);
    await this.#transfer(`/v1/images/pull?${query}`, reference, { auth, tell, signal });
  }

  /** Sends a tagged image to its registry. Progress goes to `tell`; errors are those of the push. */
  async push(name: string, { fence, ...options }: { auth: Readonly<Record<string, unknown>>; fence: Fence; tell: (message: BuildMessage) => void; signal: AbortSignal }): Promise<void> {
    const reference = withDefaultTag(parseReference(name));
    const query = new URLSearchParams({ ref: familiarString(reference), fence: `${fence.key}:${fence.epoch}` });
    await this.#transfer(`/v1/images/push?${query}`, reference, options);
  }

  async #transfer(
    path: string, reference: Reference, { auth, tell, signal }: { auth: Readonly<Record<string, unknown>>; tell: (message: BuildMessage) => void; signal: AbortSignal },
  ): Promise<void> {
    const credentials = auth[reference.domain] ?? (reference.domain === "docker.io" ? auth["https://index.docker.io/v1/"] : undefined);
    const headers: Record<string, string> = {};
    if (credentials !== undefined) headers["x-registry-auth"] = Buffer.from(JSON.stringify(credentials)).toString("base64url");
    const answer = await this.#http.request(this.#store, { method: "POST", path, headers, signal, idleMs: IDLE_MS });
    let rest = "";
    for await (const chunk of answer.body.setEncoding("utf8")) {
      const lines = (rest + String(chunk)).split("\n");
      rest = lines.pop()!;
      if (rest.length > MAX_LINE) throw fail("UNAVAILABLE", "the image store sent a line that is too long");
      for (const line of lines) this.#progress(line, tell);
    }
    this.#progress(rest, tell);
  }

  #progress(line: string, tell: (message: BuildMessage) => void): void {
    if (line.trim() === "") return;
    const message = JSON.parse(line) as BuildMessage;
    if (typeof message["error"] === "string") throw fail("BUILD_FAILED", message["error"]);
    tell(message);
  }

  /** Idempotent. */
  async put(config: string, layers: readonly LayerInfo[], parent: string | null): Promise<void> {
    const stored = layers.map(({ diffId, digest, mediaType, blobSize, size }) => ({ diffId, digest, mediaType, blobSize, size }));
    await this.#patiently(() => this.#bus.call(imagePut, { config, layers: stored, parent, tags: [] }));
  }

  /** Points a name at an image and answers the name in full, such as `x:latest`. */
  async tag(id: string, name: string, fence: Fence, signal: AbortSignal): Promise<string> {
    await this.#patiently(() => this.#bus.call(imageTag, { ref: id, target: name, fence }), signal);
    return familiarString(withDefaultTag(parseReference(name)));
  }

  /** From now on names asked for by earlier claims of this job are refused. */
  async fence(fence: Fence): Promise<void> {
    await this.#patiently(() => this.#bus.call(imageFence, fence));
  }

  #patiently<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    return retry(work, {
      clock: this.#clock, attempts: TRIES, baseMs: 50, maxMs: 2_000, retryable: (e) => isGantryError(e, "UNAVAILABLE") || isGantryError(e, "TIMEOUT"),
      ...(signal === undefined ? {} : { signal }),
    });
  }
}

const isId = (ref: string): boolean => /^(?:sha256:)?[0-9a-f]{64}$/.test(ref);

const platformOf = (config: ImageConfig) =>
  normalizePlatform({ os: config.os, architecture: config.architecture, ...(config.variant === undefined ? {} : { variant: config.variant }) });

function known(image: ResolvedImage): KnownImage {
  return { id: image.id, config: parseImageConfig(JSON.stringify(image.config)), layers: image.layers };
}
