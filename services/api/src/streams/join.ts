import type { Duplex } from "node:stream";
import type { ClientStream } from "../http/exchange.ts";

const LINGER_MS = 10_000;

/**
 * Couples a client's raw stream with a container's. The client's end of input goes on as such (half-close); the end of the
 * container's output ends the client's. What breaks on one side is broken on the other. Resolves when both are over.
 */
export function join(client: ClientStream, container: Duplex): Promise<void> {
  const { input, output, holdMs } = client;
  return new Promise((resolve) => {
    const over = (): void => {
      input.unpipe(container);
      container.destroy();
      resolve();
    };
    container.on("error", () => output.destroy());
    container.on("close", () => { if (!container.readableEnded) output.destroy(); });
    input.on("error", () => container.destroy());
    output.on("error", () => container.destroy());
    output.once("close", over);
    container.once("end", () => {
      // Unread input would turn the client's last read into a reset: drain it until the client closes.
      input.unpipe(container);
      input.resume();
      const linger = setTimeout(() => output.destroy(), LINGER_MS);
      linger.unref();
      output.once("close", () => clearTimeout(linger));
    });
    if (holdMs === 0) container.pipe(output);
    else setTimeout(() => container.pipe(output), holdMs);
    input.pipe(container);
  });
}
