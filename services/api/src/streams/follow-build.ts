import { buildLogs, fail } from "@gantry/contracts";
import { type Clock, isGantryError } from "@gantry/kernel";
import type { Backend } from "../backend.ts";
import { type BuildLogLine, parseBuildLogLine } from "../domain/build-log.ts";
import { lineBatches } from "./lines.ts";

/** Tries without a line in between: about a minute and a half. */
const MAX_FAILURES = 50;
const MAX_DELAY_MS = 2000;
/** A build service says something every few seconds. */
const SILENCE_MS = 12_000;
const ASK_MS = 5000;

export interface FollowOptions {
  readonly id: string;
  /** Number of the first row. */
  readonly from: number;
  /** Of a build service that can tell; null: one is asked for. */
  readonly address: string | null;
  /** False: what there is by now. */
  readonly follow: boolean;
}

/**
 * The log of a build to its end, in batches as they come; an empty batch where nothing comes for some seconds. Any living build service
 * can tell it: when the one that does goes away, hangs or cannot be reached, another one is found over the bus and asked from the row
 * after the last one seen.
 */
export async function* followBuild({ bus, http, clock }: Pick<Backend, "bus" | "http" | "clock">, options: FollowOptions, signal: AbortSignal): AsyncGenerator<BuildLogLine[]> {
  const { id, follow } = options;
  let { from, address } = options;
  for (let failures = 0; ; failures++) {
    const silence = new Silence(clock);
    try {
      address ??= (await bus.call(buildLogs, { id }, { timeoutMs: ASK_MS, signal })).logs;
      const response = await http.request({ address, identity: "service/build" }, { method: "GET", path: `/v1/builds/${id}/logs?from=${from}&follow=${follow ? 1 : 0}`, signal: AbortSignal.any([signal, silence.signal]) });
      for await (const lines of lineBatches(silence.watch(response.body))) {
        const rows = lines.map(parseBuildLogLine).filter((row) => row !== null).filter((row) => row.seq >= from);
        failures = 0;
        if (rows.length > 0) from = rows.at(-1)!.seq + 1;
        yield rows;
        if (rows.some((row) => row.kind === "end")) return;
      }
      if (!follow) return;
    } catch (error) {
      signal.throwIfAborted();
      if (isGantryError(error) && error.code !== "UNAVAILABLE" && error.code !== "TIMEOUT") throw error;
    } finally {
      silence.end();
    }
    if (failures >= MAX_FAILURES) throw fail("UNAVAILABLE", `no build service answers; build ${id} goes on without its log`);
    // Another one may have it at once; it is asked for less and less often.
    if (failures > 0 || address === null) await clock.sleep(Math.min(50 * 2 ** failures, MAX_DELAY_MS), signal);
    address = null;
  }
}

/** Aborts where a stream says nothing for too long. */
class Silence {
  readonly #clock: Clock;
  readonly #controller = new AbortController();
  #timer: AbortController | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#heard();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  async *watch(body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of body) {
      this.#heard();
      yield chunk;
      // While the reader takes its time nothing is missed.
      this.#heard();
    }
  }

  #heard(): void {
    this.end();
    const timer = this.#timer = new AbortController();
    this.#clock.sleep(SILENCE_MS, timer.signal).then(() => this.#controller.abort(fail("UNAVAILABLE", "the build service says nothing")), () => {});
  }

  end(): void {
    this.#timer?.abort();
  }
}
