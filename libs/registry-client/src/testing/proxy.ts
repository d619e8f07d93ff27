import { once } from "node:events";
import { createServer, request, type IncomingMessage, type ServerResponse } from "node:http";

export interface Proxy extends AsyncDisposable {
  readonly address: string;
  readonly requests: { readonly method: string; readonly url: string; readonly headers: IncomingMessage["headers"] }[];
}

/**
 * A proxy in front of a registry that a test may make do wrong things: `intercept` answers itself and says true, or may return a
 * transformation of the answer's body.
 */
export async function startProxy(
  target: string, intercept: (request: IncomingMessage, response: ServerResponse) => boolean | ((chunk: Buffer, response: ServerResponse) => Buffer | null),
): Promise<Proxy> {
  const requests: { method: string; url: string; headers: IncomingMessage["headers"] }[] = [];
  const server = createServer((incoming, response) => {
    requests.push({ method: incoming.method!, url: incoming.url!, headers: incoming.headers });
    const verdict = intercept(incoming, response);
    if (verdict === true) return;
    const [host, port] = target.split(":");
    const outgoing = request({ host, port, method: incoming.method, path: incoming.url, headers: { ...incoming.headers, host: incoming.headers.host } }, (answer) => {
      response.writeHead(answer.statusCode!, answer.headers);
      response.flushHeaders();
      answer.on("data", (chunk: Buffer) => {
        const passed = typeof verdict === "function" ? verdict(chunk, response) : chunk;
        if (passed !== null && !response.destroyed) response.write(passed); else if (passed === null) answer.destroy();
      });
      answer.on("end", () => response.end());
    });
    outgoing.on("error", () => response.destroy());
    incoming.pipe(outgoing);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const at = server.address();
  if (at === null || typeof at === "string") throw new Error("no port");
  return {
    address: `127.0.0.1:${at.port}`, requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
