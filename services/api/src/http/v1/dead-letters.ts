import type { DeadLetter } from "@gantry/bus";
import { Nullable } from "@gantry/contracts";
import { Type as T, type Static } from "typebox";
import type { Backend } from "../../backend.ts";
import { Problem } from "./problem.ts";
import type { V1App } from "./types.ts";

const BODY_CHARACTERS = 64 * 1024;

const Queue = T.String({ pattern: "^[A-Za-z0-9._-]{1,255}$", description: "`scheduler`, `node.<id>` or all `node`s, `job.<message>`, `group.<group>`, `subscriber`" });
const Params = T.Object({ id: T.String({ pattern: "^[0-9a-f]{12}$", description: "of a dead letter" }) });
const InQueue = T.Object({ queue: T.Optional(Queue) });
const List = T.Object({ queue: T.Optional(Queue), limit: T.Integer({ minimum: 1, maximum: 1000, default: 100 }) });

const Letter = T.Object({
  id: T.String(),
  queue: T.String({ description: "where it was" }),
  message: T.String({ description: "name of the message's contract" }),
  messageId: T.String({ description: "its idempotency key" }),
  code: T.String({ description: "of the last error" }),
  reason: T.String({ description: "what the last error said" }),
  attempts: T.Integer(),
  firstFailedAt: Nullable(T.String()),
  lastFailedAt: Nullable(T.String({ description: "RFC 3339; null where nobody knows" })),
  service: T.String({ description: "whose handler failed; empty where the broker gave it up" }),
  bytes: T.Integer({ description: "of its body" }),
  traceId: Nullable(T.String({ description: "of the trace it belongs to" })),
});
const LetterWithBody = T.Object({ ...Letter.properties, body: T.String({ description: `as it was sent, JSON as a rule; at most ${BODY_CHARACTERS} characters` }), truncated: T.Boolean() });
const Page = T.Object({ letters: T.Array(Letter), more: T.Boolean({ description: "there are more than `limit`" }) });
const Retried = T.Object({ retried: T.Integer(), kept: T.Integer(), reason: Nullable(T.String({ description: "why the first of those was kept" })) });

/** Messages that could not be handled. What they say may hold secrets, and retrying one acts for whoever sent it: for admins. */
export function deadLetterRoutes(app: V1App, { bus: { deadLetters } }: Pick<Backend, "bus">): void {
  const tags = ["dead letters"];
  app.get("/v1/dead", { schema: { tags, summary: "List dead letters, the oldest first in each queue", querystring: List, response: { 200: Page, default: Problem } } }, async (request) => {
    const { queue, limit } = request.query;
    const found = await deadLetters.list(queue, limit + 1);
    return { letters: found.slice(0, limit).map(viewOf), more: found.length > limit };
  });
  app.get("/v1/dead/:id", { schema: { tags, summary: "A dead letter with its body", params: Params, querystring: InQueue, response: { 200: LetterWithBody, default: Problem } } }, async (request) => {
    const letter = await deadLetters.get(request.params.id, request.query.queue);
    const { body } = letter.message;
    return { ...viewOf(letter), body: body.slice(0, BODY_CHARACTERS), truncated: body.length > BODY_CHARACTERS };
  });
  app.post("/v1/dead/:id/retry", {
    schema: {
      tags, summary: "Give a message back to its queue", params: Params, querystring: InQueue, response: { 202: Letter, default: Problem },
      description: "With the key it had: what was carried out already is not done again. 503 QUEUE_FULL, and UNAVAILABLE where its queue is gone, keep it.",
    },
  }, async (request, reply) => reply.code(202).send(viewOf(await deadLetters.retry(request.params.id, request.query.queue))));
  app.post("/v1/dead/retry", {
    schema: { tags, summary: "Give all messages back to their queues", querystring: InQueue, response: { 200: Retried, default: Problem }, description: "Those that cannot be given back are kept." },
  }, async (request) => deadLetters.retryAll(request.query.queue));
  app.delete("/v1/dead/:id", { schema: { tags, summary: "Forget a dead letter", params: Params, querystring: InQueue, response: { 204: T.Null(), default: Problem } } }, async (request, reply) => {
    await deadLetters.drop(request.params.id, request.query.queue);
    return reply.code(204).send(null);
  });
}

function viewOf({ id, queue, message, code, reason, attempts, firstFailedAt, lastFailedAt, service }: DeadLetter): Static<typeof Letter> {
  const traceId = /^[0-9a-f]{2}-([0-9a-f]{32})-/.exec(message.headers["traceparent"] ?? "")?.[1] ?? null;
  return { id, queue, message: message.name, messageId: message.id, code, reason, attempts, firstFailedAt, lastFailedAt, service, bytes: Buffer.byteLength(message.body), traceId };
}
