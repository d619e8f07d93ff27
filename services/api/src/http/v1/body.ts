import type { Readable } from "node:stream";
import { fail } from "@gantry/contracts";
import type { FastifyRequest } from "fastify";
import type { V1App } from "./types.ts";

/** Types of bodies that are taken as streams: tars, as clients name them. */
export const STREAM_TYPES = [
  "application/x-tar", "application/tar", "application/gzip", "application/x-gzip", "application/x-bzip2", "application/x-xz", "application/zstd", "application/octet-stream",
] as const;

/** Leaves bodies of these types unread, for handlers of routes of this scope. */
export function acceptStreams(app: V1App): void {
  app.addContentTypeParser([...STREAM_TYPES], (_request, payload, done) => done(null, payload));
}

/** The body as it comes. */
export function streamOf(request: FastifyRequest): Readable {
  const body = request.body as Readable | undefined | null;
  if (body == null || typeof body.pipe !== "function") throw fail("INVALID", `a body of type ${STREAM_TYPES.join(", ")} is needed`);
  return body;
}
