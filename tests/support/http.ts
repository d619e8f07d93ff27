import { request, type IncomingHttpHeaders } from "node:http";
import { text } from "node:stream/consumers";

export interface SocketAnswer { readonly status: number; readonly headers: IncomingHttpHeaders; readonly body: string }

/** One request over a unix socket, its answer as text. */
export async function requestSocket(socketPath: string, method: string, path: string, { headers = {}, json }: { headers?: Record<string, string>; json?: object } = {}): Promise<SocketAnswer> {
  return await new Promise((resolve, reject) => {
    const sent = request({ socketPath, method, path, agent: false, headers: { ...headers, ...(json === undefined ? {} : { "content-type": "application/json" }) } }, (response) => {
      text(response).then((body) => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }), reject);
    });
    sent.on("error", reject);
    sent.end(json === undefined ? undefined : JSON.stringify(json));
  });
}
