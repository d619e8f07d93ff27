import { Readable } from "node:stream";
import { fail } from "@gantry/contracts";
import type { Clock } from "@gantry/kernel";
import type { FastifyInstance } from "fastify";
import type { JobSignals } from "../jobs/signals.ts";
import type { JobReader } from "../jobs/reader.ts";

const ROWS = 1000;
/** How long a follower trusts that it is told: after that it looks by itself. */
const LOOK_AGAIN_MS = 2000;
/** A reader that gets nothing for longer knows that this service hangs. */
const ALIVE_MS = 4000;

export interface LogRouteOptions {
  readonly reader: JobReader;
  readonly signals: JobSignals;
  readonly clock: Clock;
  /** Aborts when the service stops: followers then ask another one, from where they were. */
  readonly stopping: AbortSignal;
}

/**
 * `GET /v1/builds/:id/logs?from=N`: lines `{"seq":n,"step":n,"message":…}`, the last `{"seq":n,"end":…}`; follows until the end, with an
 * empty line where nothing comes for a while. `follow=0`: what there is.
 */
export function logRoute(app: FastifyInstance, options: LogRouteOptions): void {
  app.get<{ Params: { id: string }; Querystring: { from?: string; follow?: string } }>("/v1/builds/:id/logs", async (request, reply) => {
    const { id } = request.params;
    const from = Number(request.query.from ?? "0");
    if (!Number.isSafeInteger(from) || from < 0) throw fail("INVALID", `from must be a number of a log row, not ${JSON.stringify(request.query.from)}`);
    await options.reader.get(id);
    const gone = new AbortController();
    reply.raw.once("close", () => gone.abort());
    const lines = Readable.from(follow(options, id, { from, toEnd: request.query.follow !== "0" }, AbortSignal.any([gone.signal, options.stopping])), { objectMode: false });
    lines.once("error", () => reply.raw.destroy());
    return reply.type("application/x-ndjson").send(lines);
  });
}

async function* follow({ reader, signals, clock }: LogRouteOptions, id: string, { from, toEnd }: { from: number; toEnd: boolean }, signal: AbortSignal): AsyncGenerator<string> {
  let next = from;
  let told = clock.now();
  for (;;) {
    using waiting = signals.begin(id);
    const { rows, end } = await reader.read(id, next, ROWS);
    if (rows.length > 0) {
      next = rows.at(-1)!.seq + 1;
      told = clock.now();
      yield rows.map((row) => `${JSON.stringify(row)}\n`).join("");
    }
    if (end !== null) {
      const { seq, ...rest } = end;
      yield `${JSON.stringify({ seq, end: rest })}\n`;
      return;
    }
    if (rows.length === ROWS) continue;
    if (!toEnd) return;
    if (clock.now() - told >= ALIVE_MS) {
      told = clock.now();
      yield "\n";
    }
    await waiting.wait(clock, LOOK_AGAIN_MS, signal);
  }
}
