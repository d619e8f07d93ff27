import { on, type Bus, type Route } from "@gantry/bus";
import { dockerEvent, imageResolve } from "@gantry/contracts";
import { isGantryError } from "@gantry/kernel";

const TIMEOUT_MS = 2_000;
const LIMIT = 4_096;

/** What image references mean now, for `docker ps`: a cache that any image event empties. */
export class ImageNames {
  readonly #bus: Bus;
  readonly #ids = new Map<string, Promise<string | null>>();

  constructor(bus: Bus) {
    this.#bus = bus;
  }

  /** Empties the cache when any image changes. */
  route(): Route {
    return on(dockerEvent, async (event) => {
      if (event.Type === "image") this.#ids.clear();
      return event;
    });
  }

  /** The ID the reference stands for; null when it stands for none; undefined when the image store does not answer. */
  async idOf(ref: string): Promise<string | null | undefined> {
    let id = this.#ids.get(ref);
    if (id === undefined) {
      if (this.#ids.size >= LIMIT) this.#ids.clear();
      id = this.#bus.call(imageResolve, { ref }, { timeoutMs: TIMEOUT_MS }).then((image) => image.id, (e: unknown) => {
        if (isGantryError(e, "NO_SUCH_IMAGE")) return null;
        throw e;
      });
      this.#ids.set(ref, id);
    }
    try {
      return await id;
    } catch {
      this.#ids.delete(ref);
      return undefined;
    }
  }

  /** What `docker ps` shows: the reference as long as it means that image, else the image's ID. */
  async shown(ref: string, imageId: string): Promise<string> {
    const id = await this.idOf(ref);
    return id === undefined || id === imageId ? ref : imageId;
  }
}
