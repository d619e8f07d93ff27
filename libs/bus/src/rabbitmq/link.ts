import type { Socket } from "node:net";
import { fail } from "@gantry/contracts";
import { backoffMs, describeError, type Clock, type GantryError, type Logger } from "@gantry/kernel";
import { connect, type ChannelModel } from "amqplib";

export interface LinkOptions {
  /** Shown by the broker's tools. */
  readonly name: string;
  readonly heartbeatSeconds: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** How long the first connection may take: the broker may be starting beside us. */
const FIRST_CONNECTION_MS = 30_000;
const BACKOFF = { baseMs: 50, maxMs: 2_000 };

/** A connection to the broker that is made again whenever it is lost, until it is closed. */
export class Link implements AsyncDisposable {
  readonly #url: string;
  readonly #options: LinkOptions;
  readonly #closing = new AbortController();
  #model: ChannelModel | null = null;
  #ready = Promise.withResolvers<ChannelModel>();
  #restoredAt = Number.NEGATIVE_INFINITY;
  /** While the broker takes nothing from this connection; resolves when it does again. */
  #blocked: PromiseWithResolvers<void> | null = null;

  private constructor(url: string, options: LinkOptions) {
    this.#url = withHeartbeat(url, options.heartbeatSeconds);
    this.#options = options;
    this.#ready.promise.catch(() => {});
  }

  /** Resolves when connected. UNAVAILABLE when the broker does not answer for half a minute, or refuses the login. */
  static async open(url: string, options: LinkOptions): Promise<Link> {
    const link = new Link(url, options);
    const deadline = performance.now() + FIRST_CONNECTION_MS;
    for (let attempt = 1; ; attempt++) {
      try {
        link.#use(await link.#connect());
        return link;
      } catch (error) {
        const refused = /ACCESS[_-]REFUSED|NOT[_-]ALLOWED/.test(describeError(error));
        if (refused || performance.now() > deadline) throw fail("UNAVAILABLE", `cannot connect to the message broker: ${describeError(error)}`, { cause: error });
        options.logger.warn({ attempt }, `waiting for the message broker: ${describeError(error)}`);
        await options.clock.sleep(backoffMs(attempt, Math.random, BACKOFF));
      }
    }
  }

  /** When a connection that was lost was made again, by `performance.now()`; long ago where none was. */
  get restoredAt(): number { return this.#restoredAt; }
  get closed(): boolean { return this.#closing.signal.aborted; }
  get closing(): AbortSignal { return this.#closing.signal; }

  /** The connection, as soon as there is one; UNAVAILABLE once closed. */
  async model(): Promise<ChannelModel> {
    return this.#model ?? await this.#ready.promise;
  }

  /**
   * Null while messages may be published. Else the broker is low on memory or disk and reads nothing from this connection: what is
   * written to it waits in this process, so wait for the promise first.
   */
  get blocked(): Promise<void> | null { return this.#blocked?.promise ?? null; }

  async #connect(): Promise<ChannelModel> {
    return await connect(this.#url, { timeout: 10_000, noDelay: true, keepAlive: true, clientProperties: { connection_name: this.#options.name } });
  }

  #use(model: ChannelModel): void {
    const { logger } = this.#options;
    let lastError: unknown;
    model.on("error", (error) => { lastError = error; });
    model.on("blocked", (reason: string) => {
      logger.warn({ reason }, "the message broker takes no messages for now");
      this.#blocked ??= Promise.withResolvers();
    });
    model.on("unblocked", () => {
      logger.info({}, "the message broker takes messages again");
      this.#unblock();
    });
    model.once("close", (reason?: Error) => {
      this.#model = null;
      this.#unblock();
      if (this.closed) return;
      logger.warn({ reason: describeError(lastError ?? reason ?? "closed by the broker") }, "lost the connection to the message broker");
      this.#ready = Promise.withResolvers();
      this.#ready.promise.catch(() => {});
      void this.#reconnect();
    });
    this.#model = model;
    this.#ready.resolve(model);
  }

  #unblock(): void {
    const blocked = this.#blocked;
    this.#blocked = null;
    blocked?.resolve();
  }

  async #reconnect(): Promise<void> {
    const { logger, clock } = this.#options;
    for (let attempt = 1; !this.closed; attempt++) {
      try {
        await clock.sleep(backoffMs(attempt, Math.random, BACKOFF), this.closing);
        const model = await this.#connect();
        if (this.closed) return void (await model.close());
        this.#restoredAt = performance.now();
        this.#use(model);
        logger.info({ attempt }, "connected to the message broker again");
        return;
      } catch (error) {
        if (!this.closed) logger.debug({ attempt }, `the message broker is away: ${describeError(error)}`);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.closed) return;
    const reason: GantryError = fail("UNAVAILABLE", "the bus is closed");
    this.#closing.abort(reason);
    this.#ready.reject(reason);
    const model = this.#model;
    this.#model = null;
    // A broker that takes nothing does not read that this one wishes to close, either.
    if (this.#blocked !== null && model !== null) return cutOff(model);
    // A connection that is already going down has nothing left to close.
    await model?.close().catch((error: unknown) => this.#options.logger.debug({}, `closing the connection: ${describeError(error)}`));
  }
}

/** Ends the connection without the other side's word. */
function cutOff(model: ChannelModel): void {
  const { stream } = model.connection as unknown as { readonly stream: Socket };
  stream.destroy();
}

/** The interval that the URL names, else the given one, rather than the broker's minute. */
function withHeartbeat(url: string, seconds: number): string {
  const parsed = new URL(url);
  if (!parsed.searchParams.has("heartbeat")) parsed.searchParams.set("heartbeat", String(seconds));
  return parsed.href;
}
