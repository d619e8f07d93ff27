import { containerPlacement, nodeInspect, nodeList, nodeUpdate, NodeView } from "@gantry/contracts";
import { Type as T } from "typebox";
import type { Backend } from "../../backend.ts";
import { Problem } from "./problem.ts";
import type { V1App } from "./types.ts";

const Ref = T.Object({ id: T.String({ minLength: 1, maxLength: 255, description: "ID, host name, or unique prefix of an ID" }) });
const Change = T.Object({ availability: NodeView.properties.availability });

/** Nodes, and why containers are where they are. */
export function nodeRoutes(app: V1App, { bus }: Pick<Backend, "bus">): void {
  const tags = ["nodes"];
  app.get("/v1/nodes", { schema: { tags, summary: "List nodes", response: { 200: T.Object({ nodes: T.Array(NodeView) }), default: Problem } } },
    async () => bus.call(nodeList, {}));
  app.get("/v1/nodes/:id", { schema: { tags, summary: "Show a node", params: Ref, response: { 200: NodeView, default: Problem } } },
    async (request) => (await bus.call(nodeInspect, { ref: request.params.id })).node);
  app.patch("/v1/nodes/:id", { schema: { tags, summary: "Drain a node, or let it take containers again", params: Ref, body: Change, response: { 200: NodeView, default: Problem } } },
    async (request) => (await bus.call(nodeUpdate, { ref: request.params.id, availability: request.body.availability })).node);
  app.get("/v1/containers/:id/placement", {
    schema: {
      tags, summary: "Why a container is on its node", description: "What was found of each node when the container was created.",
      params: T.Object({ id: T.String({ minLength: 1, maxLength: 1024, description: "ID, name, or unique prefix of an ID" }) }),
      response: { 200: containerPlacement.reply, default: Problem },
    },
  }, async (request) => bus.call(containerPlacement, { ref: request.params.id }));
}
