import { Readable } from "node:stream";
import { buildLogs } from "@gantry/contracts";
import { describeError } from "@gantry/kernel";
import { type Static, Type as T } from "typebox";
import { ask } from "../../ask.ts";
import type { Backend } from "../../backend.ts";
import type { BuildLogLine } from "../../domain/build-log.ts";
import { followBuild } from "../../streams/follow-build.ts";
import { BuildParams, fullId } from "./builds.ts";
import { Problem, problemOf } from "./problem.ts";
import type { V1App } from "./types.ts";

const Query = T.Object({
  from: T.Optional(T.Integer({ minimum: 0, description: "number of the first row; default: after Last-Event-ID, else 0" })),
  follow: T.Boolean({ default: true, description: "false: what there is by now" }),
});
const Headers = T.Object({ "last-event-id": T.Optional(T.String({ pattern: "^[0-9]{1,15}$", description: "number of the last row seen, as browsers send it" })) });

const LogData = T.Object({ step: T.Integer({ description: "0: before the first one" }), message: T.Record(T.String(), T.Unknown(), { description: "Docker's progress JSON: stream, status, aux, error" }) });
const EndData = T.Object({ state: T.String(), imageId: T.Union([T.String(), T.Null()]), error: T.Union([T.String(), T.Null()]) });

const DESCRIPTION = "Server-sent events: `log` rows numbered by their ID, which can be read again from any point (`from`, `Last-Event-ID`), and `end` when the build is over. "
  + "With `Accept: text/plain`: the text, as docker build prints it. A build that lost its worker goes on in the same log: steps that were told are not told again, and of a step that runs "
  + "anew, which ` ---> Running in` shows, only what it had not said yet.";

/** The log of a build, from any point, whichever build service can tell it. */
export function buildLogRoutes(app: V1App, backend: Backend): void {
  app.get("/v1/builds/:id/logs", {
    schema: {
      tags: ["builds"], summary: "Follow the log of a build", description: DESCRIPTION, params: BuildParams, querystring: Query, headers: Headers,
      response: { 200: { content: { "text/event-stream": { schema: T.Object({ log: LogData, end: EndData }, { description: "data of each event, by its name" }) }, "text/plain": { schema: T.String() } } }, default: Problem },
    },
  }, async (request, reply) => {
    const { from, follow } = request.query;
    const seen = request.headers["last-event-id"];
    const id = await fullId(backend, request.params.id);
    const { logs } = await ask(backend, buildLogs, { id });
    const gone = new AbortController();
    request.raw.socket.once("close", () => gone.abort());
    reply.raw.once("close", () => gone.abort());
    const rows = followBuild(backend, { id, from: from ?? (seen === undefined ? 0 : Number(seen) + 1), address: logs, follow }, gone.signal);
    const plain = prefersText(request.headers.accept);
    const failed = (error: unknown): string => {
      if (!gone.signal.aborted) backend.logger.warn({ build: id, error: describeError(error) }, "the log of a build breaks off");
      const problem = problemOf(error, request.originalUrl.split("?")[0]!);
      return plain ? `\n${problem.detail}\n` : `event: problem\ndata: ${JSON.stringify(problem)}\n\n`;
    };
    const body = Readable.from(texts(rows, plain ? textOf : eventOf, plain ? "" : ":\n\n", failed), { objectMode: false });
    // Whoever is gone needs no answer; the generator ends with the signal.
    body.on("error", () => reply.raw.destroy());
    return reply.type(plain ? "text/plain; charset=utf-8" : "text/event-stream").header("cache-control", "no-store").send(body);
  });
}

async function* texts(batches: AsyncIterable<BuildLogLine[]>, format: (row: BuildLogLine) => string, alive: string, failed: (error: unknown) => string): AsyncGenerator<string> {
  if (alive !== "") yield alive;
  try {
    for await (const rows of batches) {
      const text = rows.length === 0 ? alive : rows.map(format).join("");
      if (text !== "") yield text;
    }
  } catch (error) {
    yield failed(error);
  }
}

const prefersText = (accept: string | undefined): boolean => accept !== undefined && accept.includes("text/plain") && !accept.includes("text/event-stream");

function eventOf(row: BuildLogLine): string {
  const [event, data] = row.kind === "end"
    ? ["end", { state: row.state, imageId: row.imageId, error: row.error } satisfies Static<typeof EndData>]
    : ["log", { step: row.step, message: row.message } satisfies Static<typeof LogData>];
  return `id: ${row.seq}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}

/** As docker build prints where its output is no terminal. Progress bars are left out, and so is the error of the end: the last row has it. */
function textOf(row: BuildLogLine): string {
  if (row.kind === "end") return "";
  const { stream, status, id, progressDetail, error } = row.message;
  if (typeof error === "string") return `${error}\n`;
  if (typeof stream === "string") return stream;
  if (typeof status !== "string" || (typeof progressDetail === "object" && progressDetail !== null && "current" in progressDetail)) return "";
  return `${typeof id === "string" && id !== "" ? `${id}: ` : ""}${status}\n`;
}
