import type { IncomingMessage } from "node:http";
import { PassThrough, type Duplex, type Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { fail } from "@gantry/contracts";
import { type Credentials, listen, readUpgradeBody, refuseUpgrade } from "@gantry/http";
import { createApp } from "@gantry/http/app";
import { isGantryError, type Scope } from "@gantry/kernel";
import { observeRequest, pathTemplate } from "@gantry/telemetry/http";
import type { Agent } from "../context.ts";
import { startExec } from "../execs.ts";
import { readConsoleSize } from "../domain/exec-config.ts";
import { checkPath, exportContainer, readArchive, statPath, writeArchive } from "./archive.ts";
import { attach } from "./attach.ts";
import { execAttached } from "./exec.ts";
import { checkReadable, readLogQuery, writeLog } from "./logs.ts";
import { flag } from "./query.ts";
import { sendStats } from "./stats.ts";
import { entryOf } from "../context.ts";

const STAT_HEADER = "X-Docker-Container-Path-Stat";

const queryOf = (request: FastifyRequest) => new URL(request.raw.url ?? "/", "http://localhost").searchParams;
const idOf = (request: FastifyRequest) => (request.params as { id: string }).id;
const encodeStat = (stat: object) => Buffer.from(JSON.stringify(stat)).toString("base64");

/** Aborts when the client is gone before the answer is complete. */
function goneSignal(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.once("close", () => gone.abort());
  return gone.signal;
}

/** Answers 200 and lets `write` fill the body as it comes; what fails after the first byte cuts the connection. */
function streamed(reply: FastifyReply, type: string, headers: Record<string, string>, write: (output: PassThrough) => Promise<void>): FastifyReply {
  const output = new PassThrough();
  write(output).then(() => output.end(), (e: unknown) => output.destroy(e as Error));
  return reply.code(200).header("content-type", type).headers(headers).send(output);
}

function routes(app: FastifyInstance, agent: Agent): void {
  app.get("/v1/containers/:id/logs", async (request, reply) => {
    const query = queryOf(request);
    const entry = entryOf(agent, idOf(request));
    const wanted = readLogQuery(query);
    checkReadable(entry);
    const signal = goneSignal(reply);
    return streamed(reply, "application/vnd.docker.raw-stream", {}, (output) => writeLog(agent, entry, output, wanted, flag(query, "follow"), signal));
  });

  app.get("/v1/containers/:id/stats", async (request, reply) => {
    const query = queryOf(request);
    entryOf(agent, idOf(request));
    const signal = goneSignal(reply);
    const options = { stream: query.get("stream") === null || flag(query, "stream"), oneShot: flag(query, "one-shot") };
    return streamed(reply, "application/json", {}, (output) => sendStats(agent, idOf(request), options, output, signal));
  });

  app.get("/v1/containers/:id/export", async (request, reply) => {
    entryOf(agent, idOf(request));
    return streamed(reply, "application/x-tar", {}, (output) => exportContainer(agent, idOf(request), (archive) => pipeline(archive, output)));
  });

  app.head("/v1/containers/:id/archive", async (request, reply) => {
    const stat = await statPath(agent, idOf(request), checkPath(queryOf(request).get("path")));
    return reply.code(200).header(STAT_HEADER, encodeStat(stat)).send();
  });

  app.get("/v1/containers/:id/archive", { exposeHeadRoute: false }, (request, reply) => new Promise<FastifyReply>((resolve, reject) => {
    const send = async (stat: object, archive: Readable) => {
      const output = new PassThrough();
      resolve(reply.code(200).header("content-type", "application/x-tar").header(STAT_HEADER, encodeStat(stat)).send(output));
      await pipeline(archive, output);
    };
    readArchive(agent, idOf(request), checkPath(queryOf(request).get("path")), send).catch(reject);
  }));

  app.put("/v1/containers/:id/archive", { bodyLimit: Number.MAX_SAFE_INTEGER }, async (request, reply) => {
    const query = queryOf(request);
    await writeArchive(agent, idOf(request), checkPath(query.get("path")), { noOverwriteDirNonDir: flag(query, "noOverwriteDirNonDir") }, request.body as Readable);
    return reply.code(200).send();
  });

  app.post("/v1/exec/:id/start", async (request, reply) => {
    const body = (request.body ?? {}) as Record<string, unknown>;
    const exec = agent.execs.get(idOf(request));
    const { stream } = await startExec(agent, exec, { attach: false, consoleSize: readConsoleSize(body["ConsoleSize"]) });
    const done = () => stream.destroy();
    stream.on("error", done).on("end", done);
    stream.resume();
    if (stream.readableEnded) done();
    return reply.code(200).send({});
  });
}

async function upgrade(agent: Agent, request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
  const url = new URL(request.url ?? "/", "http://localhost");
  const match = /^\/v1\/(containers|exec)\/([0-9a-f]{64})\/(attach|start)$/.exec(url.pathname);
  const body = await readUpgradeBody(request);
  if (head.length > 0) socket.unshift(head);
  if (request.method === "POST" && match?.[1] === "containers" && match[3] === "attach") await attach(agent, match[2]!, url.searchParams, socket);
  else if (request.method === "POST" && match?.[1] === "exec" && match[3] === "start") await execAttached(agent, match[2]!, body, socket);
  else throw fail("NOT_FOUND", `no raw stream at ${request.method} ${url.pathname}`);
}

/** Serves the agent's HTTP routes to the API; resolves with the address as bound. */
export async function serveHttp(agent: Agent, listenOn: string, credentials: Credentials | null, scope: Scope): Promise<string> {
  const app = createApp("node-agent", agent.logger);
  scope.defer(() => app.close());
  // An archive is read as it comes, whatever the client calls it.
  app.addContentTypeParser(["application/x-tar", "application/octet-stream", "application/x-gzip"], (_request, payload, done) => done(null, payload));
  routes(app, agent);
  await app.ready();
  const [bound] = await listen({ addresses: [listenOn], credentials, allow: () => ["service/api"], logger: agent.logger }, {
    request: app.routing,
    upgrade: (request, socket, head) => {
      const served = { service: "node-agent", route: pathTemplate(request.url ?? "/"), request } as const;
      observeRequest(served, () => upgrade(agent, request, socket, head)).catch((e: unknown) => {
        if (!isGantryError(e)) agent.logger.error({ err: e, url: request.url }, "a raw stream failed");
        refuseUpgrade(socket, e);
      });
    },
  }, scope);
  return bound!;
}
