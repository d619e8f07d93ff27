import { PassThrough } from "node:stream";
import { BuildRow, ContainerRow, NodeRow } from "@gantry/contracts";
import { Type as T } from "typebox";
import type { FastifySchema } from "fastify";
import type { Backend } from "../../backend.ts";
import type { V1App } from "./types.ts";

/** A client that lets this much pile up has stopped reading. */
const MAX_UNREAD_BYTES = 16 * 1024 * 1024;
/** So often something is sent, so that both ends notice a connection that is gone. */
const ALIVE_MS = 15_000;

const DESCRIPTION = `Server-sent events of what a dashboard shows. The stream begins with \`snapshot\`; then \`nodes\` (all of them), \`containers\` \
(changed rows, IDs of removed ones) and \`builds\` (changed rows) follow as things change. After a reconnect it begins with a snapshot again.`;

const Events = T.Object({
  snapshot: T.Object({ nodes: T.Array(NodeRow), containers: T.Array(ContainerRow), builds: T.Array(BuildRow) }),
  nodes: T.Array(NodeRow),
  containers: T.Object({ changed: T.Array(ContainerRow), removed: T.Array(T.String()) }),
  builds: T.Array(BuildRow),
}, { description: "data of each event, by its name" });

const schema: FastifySchema = {
  tags: ["overview"], summary: "Nodes, containers and builds, live", description: DESCRIPTION, response: { 200: { content: { "text/event-stream": { schema: Events } } } },
};

export function liveRoutes(app: V1App, { live, logger }: Backend): void {
  app.get("/v1/live", { schema }, (request, reply) => {
    const output = new PassThrough();
    const leave = live.listen(({ kind, data }) => {
      output.write(`event: ${kind}\ndata: ${JSON.stringify(data)}\n\n`);
      if (output.writableLength > MAX_UNREAD_BYTES) {
        logger.warn({}, "a client of /v1/live does not read: disconnected");
        output.destroy();
      }
    });
    const alive = setInterval(() => output.write(":\n\n"), ALIVE_MS);
    const stop = () => {
      leave();
      clearInterval(alive);
      output.destroy();
    };
    output.once("close", stop);
    request.raw.socket.once("close", stop);
    output.write(":\n\n");
    return reply.type("text/event-stream").header("cache-control", "no-store").send(output);
  });
}
