import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { createLocalBus, type Bus, type Route } from "@gantry/bus";
import { DiskContentStore, type ContentStore } from "@gantry/content";
import { ownerOf, type Contract } from "@gantry/contracts";
import { HttpClient } from "@gantry/http";
import { silentLogger, systemClock } from "@gantry/kernel";
import { start } from "./module.ts";

/** The API on a real socket and a local bus; what other services would answer, the test registers. */
export interface Rig extends AsyncDisposable {
  readonly bus: Bus;
  readonly dir: string;
  /** Path of the API's socket. */
  readonly socket: string;
  /** Loopback `host:port` of the same API, which asks for a login. */
  readonly tcp: string;
  readonly content: ContentStore;
  /** Address that the API has for image store, build and node. */
  readonly services: string;
  /** Registers handlers, each with its contract's owner. `node` is the node's ID of `node.*`. */
  serve(routes: readonly Route[], node?: string): Promise<void>;
  /** Over the unix socket, or over TCP. */
  request(method: string, path: string, options?: RequestOptions): Promise<Reply>;
  /** Runs the stock docker command. */
  docker(args: readonly string[], options?: { input?: string; env?: Record<string, string> }): Promise<{ code: number; stdout: string; stderr: string }>;
}

export interface RequestOptions { body?: unknown; headers?: Record<string, string>; tcp?: boolean }
export interface Reply { status: number; headers: http.IncomingHttpHeaders; text: string; json: Record<string, unknown>; message: string }

/** `inner` answers the internal HTTP routes of all other services. */
export async function openRig(inner: http.RequestListener = (_q, r) => r.writeHead(404).end(), onUpgrade?: (request: http.IncomingMessage, socket: Duplex) => void): Promise<Rig> {
  const scope = new AsyncDisposableStack();
  try {
    const dir = await mkdtemp(join(tmpdir(), `gantry-api-${process.pid}-`));
    scope.defer(() => rm(dir, { recursive: true, force: true }));
    const bus = scope.use(createLocalBus({ service: "api-test", clock: systemClock, logger: silentLogger }));
    const server = http.createServer(inner);
    if (onUpgrade !== undefined) server.on("upgrade", onUpgrade);
    const servicesPath = join(dir, "services.sock");
    await new Promise<void>((resolve) => server.listen(servicesPath, resolve));
    scope.defer(async () => { server.closeAllConnections(); await new Promise((resolve) => server.close(resolve)); });
    const content = await DiskContentStore.open({ dir: join(dir, "blobs") });
    const socket = join(dir, "docker.sock");
    const services = `unix:${servicesPath}`;
    const api = await start({ listen: [`unix:${socket}`, "127.0.0.1:0"], imageStore: services, maxContextBytes: 64 * 1024 * 1024, rootDir: dir, instance: "0badcafe", hostname: "testhost" },
      { bus, clock: systemClock, logger: silentLogger, http: scope.use(new HttpClient()), content }, scope);
    const tcp = api.addresses[1]!.replace("http://", "");
    return {
      bus, dir, socket, tcp, content, services,
      async serve(routes, node = "n1") {
        for (const [queue, of] of Map.groupBy(routes, (route) => queueOf(route.contract, node))) scope.use(await bus.serve(queue, of));
      },
      request: (method, path, options = {}) => request(options.tcp === true ? { host: "127.0.0.1", port: Number(tcp.split(":")[1]) } : { socketPath: socket }, method, path, options),
      docker: (args, options = {}) => docker(socket, dir, args, options),
      [Symbol.asyncDispose]: () => scope.disposeAsync(),
    };
  } catch (error) {
    await scope.disposeAsync();
    throw error;
  }
}

function queueOf(contract: Contract, node: string): string {
  const owner = ownerOf(contract);
  return owner === "node" ? `node.${node}` : owner;
}

function request(to: http.RequestOptions, method: string, path: string, { body, headers = {} }: RequestOptions): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const payload = body === undefined ? null : JSON.stringify(body);
    const call = http.request({ ...to, method, path, agent: false, headers: { ...(payload === null ? {} : { "content-type": "application/json" }), ...headers } }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const text = Buffer.concat(chunks).toString("utf8");
        let json: Record<string, unknown> = {};
        try { json = JSON.parse(text) as Record<string, unknown>; } catch { /* a test that needs JSON sees nothing in it */ }
        resolve({ status: response.statusCode!, headers: response.headers, text, json, message: String(json["message"]) });
      });
    });
    call.on("error", reject);
    call.end(payload ?? undefined);
  });
}

function docker(socket: string, home: string, args: readonly string[], { input = "", env = {} }: { input?: string; env?: Record<string, string> }): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const child = execFile("docker", [...args], {
      env: { PATH: process.env["PATH"], HOME: home, DOCKER_CONFIG: home, DOCKER_HOST: `unix://${socket}`, DOCKER_BUILDKIT: "0", ...env }, timeout: 30_000,
    }, (error, stdout, stderr) => resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr }));
    child.stdin!.end(input);
  });
}
