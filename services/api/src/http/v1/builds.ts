import { createHash } from "node:crypto";
import { blobStat, buildCancel, buildGet, buildList, buildResolve, buildRetry, BuildState, buildSteps, buildSubmit, fail } from "@gantry/contracts";
import { newId } from "@gantry/kernel";
import type { FastifyReply, FastifyRequest } from "fastify";
import { Type as T } from "typebox";
import { ask } from "../../ask.ts";
import { identityOf } from "../../auth/identity.ts";
import type { Backend } from "../../backend.ts";
import { requireBuildNetwork } from "../../domain/access.ts";
import { BuildBody, bodyOfQuery, BuildQuery, specOf } from "../../domain/build-request.ts";
import { Build, BuildDetail, detailOf, viewOf } from "../../domain/build-view.ts";
import { parseRegistryConfig } from "../../domain/credentials.ts";
import { acceptStreams, STREAM_TYPES, streamOf } from "./body.ts";
import { Problem } from "./problem.ts";
import type { V1App } from "./types.ts";

export const BuildParams = T.Object({ id: T.String({ pattern: "^[0-9a-f]{4,64}$", description: "of a build, or how no other's begins" }) });
const Headers = T.Object({
  "idempotency-key": T.Optional(T.String({ minLength: 1, maxLength: 255, description: "the same request with the same key makes one build, however often it is sent" })),
  "x-registry-config": T.Optional(T.String({ description: "credentials by registry, base64url of JSON, as Docker's" })),
});
const List = T.Object({
  state: T.Optional(T.Array(BuildState, { description: "may be given several times" })),
  tag: T.Optional(T.String({ minLength: 1, maxLength: 1024 })),
  label: T.Optional(T.String({ minLength: 1, maxLength: 4096, description: "name, or name=value" })),
  limit: T.Integer({ minimum: 1, maximum: 1000, default: 100 }),
  cursor: T.Optional(T.String({ maxLength: 200, description: "`next` of the page before" })),
});
const Page = T.Object({ builds: T.Array(Build), next: T.Union([T.String(), T.Null()], { description: "cursor of the next page; null: this was the last one" }) });
const MAX_FULL_ID = 64;

/** Build jobs. Which of them there are, and how far, the build services say. */
export function buildRoutes(app: V1App, backend: Backend): void {
  const { bus, clock } = backend;
  const tags = ["builds"];
  acceptStreams(app);

  app.post("/v1/builds", {
    schema: {
      tags, summary: "Submit a build", querystring: BuildQuery, headers: Headers,
      description: "The context is the body (a tar, also compressed; what else there is to say is in the query), or the body is JSON and names a context that was stored before. "
        + "Answers at once: the build waits in a queue. 503 QUEUE_FULL when too many wait.",
      body: { content: { "application/json": { schema: BuildBody }, "application/x-tar": { schema: T.Any({ description: "the context" }) } } },
      response: { 202: Build, default: Problem },
    },
  }, async (request, reply) => {
    const { spec, context } = await read(backend, request);
    requireBuildNetwork(identityOf(request.raw), spec.networkMode);
    const id = idOf(request);
    await bus.call(buildSubmit, { id, spec: { ...spec, context } });
    return await accepted(reply, id);
  });

  app.get("/v1/builds", { schema: { tags, summary: "List builds, newest first", querystring: List, response: { 200: Page, default: Problem } } }, async (request) => {
    const { state, ...query } = request.query;
    const { jobs, next } = await ask(backend, buildList, { ...query, ...(state === undefined ? {} : { states: state }) });
    return { builds: jobs.map((job) => viewOf(job, clock.now())), next };
  });

  app.get("/v1/builds/:id", { schema: { tags, summary: "A build with its steps", params: BuildParams, response: { 200: BuildDetail, default: Problem } } }, async (request) => {
    const id = await fullId(backend, request.params.id);
    // The job first: of one that is over all steps are known.
    const job = await ask(backend, buildGet, { id });
    const { steps } = await ask(backend, buildSteps, { id });
    return detailOf(job, steps, clock.now());
  });

  app.post("/v1/builds/:id/cancel", {
    schema: {
      tags, summary: "Cancel a build", params: BuildParams, response: { 202: Build, default: Problem },
      description: "One that waits ends at once, one that runs within moments: its step is killed. No error for one that is over.",
    },
  }, async (request, reply) => {
    const id = await fullId(backend, request.params.id);
    await bus.call(buildCancel, { id });
    return await accepted(reply, id);
  });

  app.post("/v1/builds/:id/retry", {
    schema: {
      tags, summary: "Build again", params: BuildParams, headers: Headers, response: { 202: Build, default: Problem },
      description: "A new build with the same settings, whose `retryOf` is the old one; that stays as it is. What the old one finished comes from the cache. "
        + "409 while the old one is not over, and when its context is no longer kept. Credentials are not kept either: send them again.",
    },
  }, async (request, reply) => {
    const of = await fullId(backend, request.params.id);
    requireBuildNetwork(identityOf(request.raw), (await ask(backend, buildGet, { id: of })).spec.networkMode);
    const id = idOf(request);
    await bus.call(buildRetry, { id, of, auth: parseRegistryConfig(request.headers["x-registry-config"]) });
    return await accepted(reply, id);
  });

  async function accepted(reply: FastifyReply, id: string): Promise<FastifyReply> {
    const job = await ask(backend, buildGet, { id });
    return reply.code(202).header("location", `/v1/builds/${id}`).send(viewOf(job, clock.now()));
  }
}

/** What to build: of a JSON body, or of the query with the body as context, which is stored. */
async function read({ bus, content, maxContextBytes }: Backend, request: FastifyRequest<{ Querystring: BuildQuery; Body: unknown }>) {
  const auth = parseRegistryConfig(request.headers["x-registry-config"] as string | undefined);
  const type = (request.headers["content-type"] ?? "").split(";")[0]!.trim().toLowerCase();
  if (type === "application/json") {
    if (Object.keys(request.query).length > 0) throw fail("INVALID", "with a JSON body everything is in the body: leave the query away");
    const { context = null, ...body } = request.body as BuildBody;
    const spec = specOf(body);
    if (context === null && spec.dockerfileText == null) throw fail("INVALID", "give a context, or a dockerfileText");
    if (context !== null && (await bus.call(blobStat, { digest: context.digest })).size === null) {
      throw fail("NO_SUCH_BLOB", `the context ${context.digest} is not stored: send it by POST /v1/blobs first`);
    }
    return { spec: { ...spec, auth: { ...auth, ...spec.auth } }, context: context?.digest ?? null };
  }
  if (!(STREAM_TYPES as readonly string[]).includes(type)) throw fail("INVALID", `Content-Type must be application/json, or for a context one of ${STREAM_TYPES.join(", ")}`);
  const spec = specOf(bodyOfQuery(request.query));
  const { digest } = await content.ingest(streamOf(request), { volatile: true, maxBytes: maxContextBytes });
  return { spec: { ...spec, auth }, context: digest };
}

/** An idempotency key is an ID: who sends it again gets the same build. Others' keys are others. */
function idOf(request: FastifyRequest): string {
  const key = request.headers["idempotency-key"];
  if (typeof key !== "string") return newId();
  return createHash("sha256").update(JSON.stringify([identityOf(request.raw).id, request.url.split("?")[0], key])).digest("hex");
}

export async function fullId(backend: Pick<Backend, "bus" | "clock">, id: string): Promise<string> {
  return id.length === MAX_FULL_ID ? id : (await ask(backend, buildResolve, { prefix: id })).id;
}
