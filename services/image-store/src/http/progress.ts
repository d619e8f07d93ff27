import { describeError, isGantryError, type Logger } from "@gantry/kernel";
import { statusOf } from "@gantry/contracts";
import type { FastifyReply } from "fastify";
import { bytesMessage, type ProgressMessage } from "../domain/progress.ts";

const BYTES_EVERY_MS = 100;

/** Where a pull, push, load or import tells how far it is. */
export interface Progress {
  tell(message: ProgressMessage): void;
  /** Bytes of one layer; most of these are left out where they come fast, or where the client does not keep up. */
  bytes(id: string, status: string, current: number, total: number): void;
}

/**
 * Answers with lines of progress JSON. Until the first line an error becomes the status of the answer (it is thrown);
 * afterwards it is the last line, as Docker does it. `work` is told by the signal when the client has gone.
 */
export async function streamProgress(reply: FastifyReply, logger: Logger, work: (progress: Progress, signal: AbortSignal) => Promise<void>): Promise<void> {
  const response = reply.raw;
  const gone = new AbortController();
  response.once("close", () => { if (!response.writableFinished) gone.abort(new Error("the client has gone")); });
  let begun = false;
  const last = new Map<string, { status: string; at: number }>();
  const progress: Progress = {
    tell(message) {
      if (!begun) {
        begun = true;
        reply.hijack();
        response.writeHead(200, { "content-type": "application/json" });
      }
      if (!response.destroyed) response.write(`${JSON.stringify(message)}\r\n`);
    },
    bytes(id, status, current, total) {
      const now = performance.now();
      const before = last.get(id);
      if (before !== undefined && before.status === status && (now - before.at < BYTES_EVERY_MS || response.writableNeedDrain) && current !== total) return;
      last.set(id, { status, at: now });
      progress.tell(bytesMessage(id, status, current, total));
    },
  };
  try {
    await work(progress, gone.signal);
  } catch (e) {
    if (!begun && !gone.signal.aborted) throw e;
    if (!gone.signal.aborted) {
      if (!isGantryError(e) || statusOf(e) >= 500) logger.warn({ err: e }, `transfer failed: ${describeError(e)}`);
      const message = (e as Error).message;
      progress.tell({ errorDetail: { message }, error: message });
    }
  }
  if (!begun) {
    reply.hijack();
    response.writeHead(200, { "content-type": "application/json" });
  }
  response.end();
}
