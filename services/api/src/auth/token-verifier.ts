import { timingSafeEqual } from "node:crypto";
import { type Bus, on } from "@gantry/bus";
import { fail, type ReplyOf, tokenCheck, tokenRemoved, tokenUsed } from "@gantry/contracts";
import { describeError, type Clock, type Logger } from "@gantry/kernel";

type TokenRecord = NonNullable<ReplyOf<typeof tokenCheck>["token"]>;

/** How long an answer of the scheduler is good, and for how long it serves while the scheduler does not answer. Milliseconds. */
export const FRESH_MS = 1_000;
export const STALE_MS = 60_000;
const USED_EVERY_MS = 10 * 60_000;
/** How long a request waits for the scheduler, with and without an older answer to fall back on. */
const PATIENCE_MS = { known: 1_000, unknown: 5_000 };
const MAX_ENTRIES = 2_048;
const MAX_LOOKUPS = 256;

interface Entry {
  readonly record: TokenRecord;
  /** When the scheduler said so, and when it was last asked. */
  readonly at: number;
  asked: number;
  usedTold: number;
}

/** ID and hash of a token's text, as `parseToken` answers them. */
export interface Claim { readonly id: string; readonly hash: string }

/**
 * Tokens and sessions as the scheduler knows them, kept for a second: that is how long a removed one may go on (less where the event of
 * its removal comes sooner). While the scheduler is away, answers of the last minute serve; then it is UNAVAILABLE.
 */
export class TokenVerifier implements AsyncDisposable {
  readonly #bus: Pick<Bus, "call" | "send">;
  readonly #clock: Clock;
  readonly #logger: Logger;
  /** The least recently asked about first. */
  readonly #entries = new Map<string, Entry>();
  readonly #lookups = new Map<string, Promise<TokenRecord | null>>();
  #subscription: AsyncDisposable | null = null;

  private constructor(ports: { bus: Pick<Bus, "call" | "send">; clock: Clock; logger: Logger }) {
    this.#bus = ports.bus;
    this.#clock = ports.clock;
    this.#logger = ports.logger;
  }

  /** `onRemoved` is told of each token and session that is no longer valid. */
  static async open(ports: { bus: Pick<Bus, "call" | "send" | "subscribe">; clock: Clock; logger: Logger }, onRemoved: (id: string) => void): Promise<TokenVerifier> {
    const verifier = new TokenVerifier(ports);
    verifier.#subscription = await ports.bus.subscribe([on(tokenRemoved, async (event) => {
      for (const id of event.ids) {
        verifier.#entries.delete(id);
        onRemoved(id);
      }
      return event;
    })]);
    return verifier;
  }

  /** Whether this very token was valid within the last minute. */
  knows({ id, hash }: Claim): boolean {
    const entry = this.#entries.get(id);
    return entry !== undefined && this.#clock.now() - entry.at < STALE_MS && matches(entry.record, hash);
  }

  /** The token or session, or null where it is wrong, removed or expired. Throws UNAVAILABLE where nobody can tell. */
  async verify({ id, hash }: Claim): Promise<TokenRecord | null> {
    const record = await this.#record(id);
    if (record === null || !matches(record, hash)) return null;
    const now = this.#clock.now();
    if (record.expires !== null && Date.parse(record.expires) <= now) return null;
    this.#tellUsed(id, now);
    return record;
  }

  async #record(id: string): Promise<TokenRecord | null> {
    const now = this.#clock.now();
    const entry = this.#entries.get(id);
    // While the scheduler is away, one request a second asks again.
    if (entry !== undefined && now - entry.at < STALE_MS && now - entry.asked < FRESH_MS) return entry.record;
    try {
      return await this.#lookUp(id, entry);
    } catch (cause) {
      const after = this.#clock.now();
      const known = this.#entries.get(id);
      if (known !== undefined && after - known.at < STALE_MS) {
        known.asked = after;
        return known.record;
      }
      throw fail("UNAVAILABLE", "cannot tell whether the token is valid: the scheduler does not answer. Try again.", { cause });
    }
  }

  #lookUp(id: string, known: Entry | undefined): Promise<TokenRecord | null> {
    const under = this.#lookups.get(id);
    if (under !== undefined) return under;
    if (this.#lookups.size >= MAX_LOOKUPS) throw fail("UNAVAILABLE", "too many logins at once");
    const asked = this.#clock.now();
    const lookup = this.#bus.call(tokenCheck, { id }, { timeoutMs: known === undefined ? PATIENCE_MS.unknown : PATIENCE_MS.known }).then(({ token }) => {
      this.#entries.delete(id);
      if (token === null) return null;
      this.#entries.set(id, { record: token, at: asked, asked, usedTold: known?.usedTold ?? -Infinity });
      const [oldest] = this.#entries.keys();
      if (this.#entries.size > MAX_ENTRIES && oldest !== undefined) this.#entries.delete(oldest);
      return token;
    }).finally(() => this.#lookups.delete(id));
    this.#lookups.set(id, lookup);
    return lookup;
  }

  #tellUsed(id: string, now: number): void {
    const entry = this.#entries.get(id);
    if (entry === undefined || now - entry.usedTold < USED_EVERY_MS) return;
    entry.usedTold = now;
    this.#bus.send(tokenUsed, { id, at: new Date(now).toISOString() }).catch((error: unknown) => {
      this.#logger.debug({ token: id, error: describeError(error) }, "could not tell that a token was used");
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#subscription?.[Symbol.asyncDispose]();
  }
}

function matches(record: TokenRecord, hash: string): boolean {
  return timingSafeEqual(Buffer.from(record.hash, "hex"), Buffer.from(hash, "hex"));
}
