import { fail } from "@gantry/contracts";
import { Type as T } from "typebox";
import type { Backend } from "../../backend.ts";
import { acceptStreams, streamOf } from "./body.ts";
import { Problem } from "./problem.ts";
import type { V1App } from "./types.ts";

const Digest = T.String({ pattern: "^sha256:[0-9a-f]{64}$" });
const Blob = T.Object({ digest: Digest, size: T.Integer({ description: "bytes" }) });

/** Build contexts by their content: one that is here need not be sent again. */
export function blobRoutes(app: V1App, { content, maxContextBytes }: Backend): void {
  const tags = ["builds"];
  acceptStreams(app);
  app.post("/v1/blobs", {
    schema: {
      tags, summary: "Store a build context", consumes: ["application/x-tar", "application/octet-stream"],
      description: "A tar, also compressed by gzip, bzip2, xz or zstd. It is kept for an hour, and as long as builds need it.",
      querystring: T.Object({ digest: T.Optional(Digest) }), response: { 201: Blob, default: Problem },
    },
  }, async (request, reply) => {
    const { digest } = request.query;
    const blob = await content.ingest(streamOf(request), { volatile: true, maxBytes: maxContextBytes, ...(digest === undefined ? {} : { expected: digest }) });
    return reply.code(201).header("location", `/v1/blobs/${blob.digest}`).send(blob);
  });
  app.get("/v1/blobs/:digest", {
    schema: { tags, summary: "Whether a build context is stored", params: T.Object({ digest: Digest }), response: { 200: Blob, default: Problem } },
  }, async (request) => {
    const blob = await content.stat(request.params.digest);
    if (blob === null) throw fail("NO_SUCH_BLOB", `there is no blob ${request.params.digest}`);
    return { digest: blob.digest, size: blob.size };
  });
}
