import { chmod, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { isIP } from "node:net";
import { GantryError } from "@gantry/kernel";
import { METRICS_CONTENT_TYPE, metricsPage } from "./page.ts";

const ADDRESS = /^(localhost|127(?:\.\d{1,3}){3}|\[::1\]):(\d{1,5})$/;

/**
 * `GET /metrics` on a listener of its own, for services that have none: `unix:/path` (mode 0600) or `host:port` on loopback, where a
 * `Host` header must name loopback too, against web pages that had a name of theirs point there. Throws INVALID for any other address.
 */
export async function listenForMetrics(address: string): Promise<AsyncDisposable> {
  const unix = address.startsWith("unix:/") ? address.slice("unix:".length) : null;
  const tcp = ADDRESS.exec(address);
  if (unix === null && (tcp === null || Number(tcp[2]) > 65_535)) {
    throw new GantryError("INVALID", `GANTRY_METRICS_LISTEN is ${JSON.stringify(address)}: give unix:/path or a port of loopback, such as 127.0.0.1:9464`);
  }
  const server = createServer({ headersTimeout: 10_000, requestTimeout: 10_000 }, (request, response) => {
    const answer = (status: number, text: string, type = "text/plain; charset=utf-8"): void => {
      response.writeHead(status, { "content-type": type }).end(request.method === "HEAD" ? undefined : text);
    };
    request.resume();
    if (unix === null && !isLoopback(request.headers.host ?? "")) return answer(403, "the Host header does not name loopback\n");
    if (request.url?.split("?")[0] !== "/metrics") return answer(404, "there is only /metrics\n");
    if (request.method !== "GET" && request.method !== "HEAD") return answer(405, "there is only GET\n");
    metricsPage().then((page) => answer(200, page, METRICS_CONTENT_TYPE), (e: unknown) => answer(500, `${e instanceof Error ? e.message : String(e)}\n`));
  });
  if (unix !== null) await rm(unix, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => reject(new GantryError("UNAVAILABLE", `cannot serve metrics on ${address}: ${cause.message}`, { cause })));
    if (unix !== null) server.listen(unix, resolve);
    else server.listen(Number(tcp![2]), tcp![1]!.replace(/[[\]]/g, ""), resolve);
  });
  if (unix !== null) await chmod(unix, 0o600);
  server.unref();
  return { [Symbol.asyncDispose]: () => close(server) };
}

function isLoopback(host: string): boolean {
  const name = host.replace(/:\d+$/, "").replace(/[[\]]/g, "");
  return name === "localhost" || name === "::1" || (isIP(name) === 4 && name.startsWith("127."));
}

async function close(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}
