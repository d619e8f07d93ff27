import type { IncomingMessage, ServerResponse } from "node:http";

/** The answer to whoever removes a token that is its own still goes out. */
const GRACE_MS = 250;

/** Requests under way, by the token they came with: streams that are open when it is removed end then. */
export class OpenRequests {
  readonly #sockets = new Map<string, Map<ServerResponse, IncomingMessage["socket"]>>();

  add(id: string, { socket }: IncomingMessage, response: ServerResponse): void {
    if (response.destroyed) return;
    let sockets = this.#sockets.get(id);
    if (sockets === undefined) this.#sockets.set(id, sockets = new Map());
    sockets.set(response, socket);
    response.once("close", () => {
      sockets.delete(response);
      if (sockets.size === 0 && this.#sockets.get(id) === sockets) this.#sockets.delete(id);
    });
  }

  /** Breaks the connections of the token's requests. */
  cut(id: string): void {
    if (!this.#sockets.has(id)) return;
    setTimeout(() => { for (const socket of this.#sockets.get(id)?.values() ?? []) socket.destroy(); }, GRACE_MS).unref();
  }
}
