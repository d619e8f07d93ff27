import { newToken, Nullable, Role, tokenCreate, TokenId, TokenInfo, tokenList, tokenRemove } from "@gantry/contracts";
import { Type as T } from "typebox";
import type { Backend } from "../../backend.ts";
import { Problem } from "./problem.ts";
import type { V1App } from "./types.ts";

const Create = T.Object({
  name: T.String({ maxLength: 128, default: "", description: "for people to tell tokens apart" }),
  role: Role,
  expires: T.Optional(Nullable(T.String({ maxLength: 64, description: "RFC 3339; without one it holds until it is removed" }))),
});
const Created = T.Object({ ...TokenInfo.properties, token: T.String({ description: "what to send as `Authorization: Bearer …`; told this once" }) });

/** Bearer tokens. Their text is made here, and goes no further than the answer: the scheduler gets the hash. */
export function tokenRoutes(app: V1App, { bus }: Pick<Backend, "bus">): void {
  const tags = ["tokens"];
  app.get("/v1/tokens", { schema: { tags, summary: "List tokens", response: { 200: T.Object({ tokens: T.Array(TokenInfo) }), default: Problem } } },
    async () => bus.call(tokenList, {}));
  app.post("/v1/tokens", { schema: { tags, summary: "Create a token", body: Create, response: { 201: Created, default: Problem } } }, async (request, reply) => {
    const { name, role, expires = null } = request.body;
    const { id, text, hash } = newToken();
    const token = await bus.call(tokenCreate, { id, hash, name, role, expires });
    return reply.code(201).header("cache-control", "no-store").send({ ...token, token: text });
  });
  app.delete("/v1/tokens/:id", {
    schema: {
      tags, summary: "Remove a token", description: "It stops working within a second; requests under way with it are cut.",
      params: T.Object({ id: TokenId }), response: { 204: T.Null(), default: Problem },
    },
  }, async (request, reply) => {
    await bus.call(tokenRemove, { id: request.params.id });
    return reply.code(204).send(null);
  });
}
