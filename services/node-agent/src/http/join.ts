import type { Duplex } from "node:stream";
import { DetachScanner } from "../domain/detach-keys.ts";

export interface JoinOptions {
  /** The client's end of input closes the container's stdin. */
  readonly closeStdin: boolean;
  readonly stdin: boolean;
  /** Keys that detach; null: none. */
  readonly detachKeys: Buffer | null;
  /** Awaited between the end of the output and the end of the connection. */
  readonly beforeEnd?: () => Promise<void>;
}

/**
 * A client's raw connection and a container's stream. The end of the output ends the connection; the end of the client's input is
 * passed on or not, but the output goes on; a connection that breaks leaves the container alone.
 */
export function join(socket: Duplex, stream: Duplex, options: JoinOptions): void {
  const scanner = options.detachKeys === null ? null : new DetachScanner(options.detachKeys);
  let over = false;
  const detach = () => {
    if (over) return;
    over = true;
    stream.destroy();
    socket.end();
  };
  socket.on("error", detach);
  socket.on("close", detach);
  socket.on("data", (chunk: Buffer) => {
    if (!options.stdin || over) return;
    const { pass, detached } = scanner?.scan(chunk) ?? { pass: chunk, detached: false };
    if (pass.length > 0 && stream.writable && !stream.write(pass)) {
      socket.pause();
      stream.once("drain", () => socket.resume());
    }
    if (detached) detach();
  });
  socket.on("end", () => { if (options.stdin && options.closeStdin && !over) stream.end(); });
  // It was paused until someone reads it.
  socket.resume();
  stream.on("data", (chunk: Buffer) => {
    if (socket.writable && !socket.write(chunk)) {
      stream.pause();
      socket.once("drain", () => stream.resume());
    }
  });
  const finish = () => {
    if (over) return;
    over = true;
    // Its other half is of no use any more.
    stream.destroy();
    void (options.beforeEnd?.() ?? Promise.resolve()).finally(() => socket.end());
  };
  stream.on("end", finish);
  stream.on("error", finish);
  stream.on("close", finish);
  // A process without output may have ended, and its stream with it, before anyone listened.
  if (stream.readableEnded || stream.destroyed) finish();
}
