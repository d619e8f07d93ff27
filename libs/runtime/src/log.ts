import { parseRecord, type LogRecord } from "./log-record.ts";
import { followLog, isRotated, type Follower } from "./log-follower.ts";
import { closeAll, openLogFiles, openLogFilesAfter, type LogFile } from "./log-files.ts";
import { readAt, tailOf } from "./log-tail.ts";

export type { LogRecord };

export interface LogOptions {
  /** Nanoseconds since the epoch, both inclusive. */
  readonly since?: bigint | null;
  readonly until?: bigint | null;
  /** So many lines from the end; null: all. */
  readonly tail?: number | null;
  /** Go on until the container has ended and everything is read. */
  readonly follow?: boolean;
  readonly stdout?: boolean;
  readonly stderr?: boolean;
  readonly signal?: AbortSignal;
}

/**
 * The log of the container in `dir`, oldest first. A line of more than 16 KiB comes in partial records. Nothing when it has none.
 * With `follow` it ends when the container has; `signal` ends it without an error. Whoever follows more slowly than the log's bound
 * is used up misses what went meanwhile.
 */
export async function* readLog(dir: string, options: LogOptions = {}): AsyncGenerator<LogRecord, void, void> {
  const { since = null, until = null, stdout = true, stderr = true, tail = null, follow = false, signal } = options;
  const files = await openLogFiles(dir);
  if (files.length === 0) return;
  let follower: Follower | null = null;
  try {
    follower = follow ? await followLog(dir, signal) : null;
    const from = tail === null ? { index: 0, position: 0 } : await tailOf(files, tail);
    await closeAll(files.splice(0, from.index));
    for await (const record of records(dir, files, from.position, follower, signal)) {
      if (until !== null && record.time > until) return;
      if ((since === null || record.time >= since) && (record.stream === "stdout" ? stdout : stderr)) yield record;
    }
  } finally {
    follower?.close();
    await closeAll(files);
  }
}

/** `files` is what is yet to be read, the first being read from `position`; files that come after are added, those read are closed. */
async function* records(dir: string, files: LogFile[], position: number, follower: Follower | null, signal: AbortSignal | undefined): AsyncGenerator<LogRecord, void, void> {
  let rest: Buffer = Buffer.alloc(0);
  let complete = false;
  while (signal?.aborted !== true) {
    const [file, next] = files;
    // Looked at before the last read: what comes after it is not lost.
    const last = follower === null || follower.ended();
    const chunk = await readAt(file!.handle, position);
    position += chunk.length;
    if (chunk.length > 0) {
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      let at = 0;
      for (let raw = parseRecord(rest, at); raw !== null; raw = parseRecord(rest, at)) {
        at = raw.next;
        yield raw.record;
      }
      rest = rest.subarray(at);
    } else if (next !== undefined) {
      files.shift();
      await file!.handle.close();
      [position, rest, complete] = [0, Buffer.alloc(0), false];
    } else if (follower !== null && await isRotated(dir, file!.inode)) {
      // Read once more: it had its last line between the read and the look.
      if (complete) files.push(...await openLogFilesAfter(dir, file!.inode));
      if (complete && files.length === 1) {
        if (last) return;
        await follower.changed();
      }
      complete = true;
    } else if (last) {
      return;
    } else {
      await follower.changed();
    }
  }
}
