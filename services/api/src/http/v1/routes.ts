import type { Backend } from "../../backend.ts";
import { blobRoutes } from "./blobs.ts";
import { buildLogRoutes } from "./build-logs.ts";
import { buildRoutes } from "./builds.ts";
import { deadLetterRoutes } from "./dead-letters.ts";
import { docsRoutes } from "./docs.ts";
import { liveRoutes } from "./live.ts";
import { nodeRoutes } from "./nodes.ts";
import { sessionRoutes } from "./session.ts";
import { tokenRoutes } from "./tokens.ts";
import type { V1App } from "./types.ts";

/**
 * A family of /v1 routes: a file beside this one. Each route gives schemas of its body, query, parameters and answers: they check what
 * comes, and are the OpenAPI document.
 */
export type V1Family = (app: V1App, backend: Backend) => void;

export const v1Families: readonly V1Family[] = [docsRoutes, buildRoutes, buildLogRoutes, blobRoutes, liveRoutes, nodeRoutes, tokenRoutes, deadLetterRoutes, sessionRoutes];
