import { Nullable, Role, tokenRemove } from "@gantry/contracts";
import { isGantryError } from "@gantry/kernel";
import { Type as T } from "typebox";
import { identityOf } from "../../auth/identity.ts";
import type { Backend } from "../../backend.ts";
import { Problem } from "./problem.ts";
import type { V1App } from "./types.ts";

const Session = T.Object({
  by: T.Union([T.Literal("socket"), T.Literal("token"), T.Literal("session"), T.Literal("certificate")], { description: "how the caller logged in" }),
  name: T.String({ description: "of the token, or the subject of the certificate" }),
  role: Role,
  id: Nullable(T.String({ description: "of the token or session" })),
});

/** Who the caller is. */
export function sessionRoutes(app: V1App, { bus, guard }: Pick<Backend, "bus" | "guard">): void {
  const tags = ["tokens"];
  app.get("/v1/session", { schema: { tags, summary: "Who am I", response: { 200: Session, default: Problem } } }, async (request) => identityOf(request.raw));
  app.post("/v1/session/end", { schema: { tags, summary: "Log a browser out", response: { 204: T.Null(), default: Problem } } }, async (request, reply) => {
    const { by, id } = identityOf(request.raw);
    if (by === "session" && id !== null) await bus.call(tokenRemove, { id }).catch((error: unknown) => { if (!isGantryError(error, "NOT_FOUND")) throw error; });
    const cookie = guard.endedCookie(request.raw);
    if (cookie !== null) reply.header("set-cookie", cookie);
    return reply.code(204).send(null);
  });
}
