import { once } from "node:events";
import type { Writable } from "node:stream";
import { fail } from "@gantry/contracts";
import { rfc3339Nano } from "@gantry/kernel";
import { readLog, type LogRecord } from "@gantry/runtime";
import { entryOf, type Agent } from "../context.ts";
import { parseLogTime, parseTail, type LogQuery } from "../domain/log-query.ts";
import type { Entry } from "../model.ts";
import { flag } from "./query.ts";
import { frame } from "./raw.ts";

const NEWLINE = Buffer.from("\n");
/** Written at once, so that many short lines do not cost a system call each. */
const BATCH = 64 * 1024;

export function readLogQuery(query: URLSearchParams): LogQuery {
  const wanted: LogQuery = {
    stdout: flag(query, "stdout"), stderr: flag(query, "stderr"), tail: parseTail(query.get("tail")), timestamps: flag(query, "timestamps"), details: flag(query, "details"),
    since: parseLogTime(query.get("since"), "since"), until: parseLogTime(query.get("until"), "until"),
  };
  if (!wanted.stdout && !wanted.stderr) throw fail("INVALID", "Bad parameters: you must choose at least one stream");
  return wanted;
}

export function checkReadable(entry: Entry): void {
  if (entry.spec.hostConfig.LogConfig.Type === "none") throw fail("NOT_IMPLEMENTED", "configured logging driver does not support reading");
}

/** The log as Docker's raw stream: frames, or plain bytes with a terminal. Does not end `output`. */
export async function writeLog(agent: Agent, entry: Entry, output: Writable, query: LogQuery, follow = false, signal?: AbortSignal): Promise<void> {
  const { Tty } = entry.spec.config;
  checkReadable(entry);
  const begun = { stdout: false, stderr: false };
  let batch: Buffer[] = [];
  let size = 0;
  const flush = async () => {
    if (size === 0) return;
    const data = batch.length === 1 ? batch[0]! : Buffer.concat(batch, size);
    batch = [];
    size = 0;
    if (!output.write(data) && output.writable) await Promise.race([once(output, "drain"), once(output, "close")]);
  };
  const records = readLog(entry.dir, { ...query, follow, signal: AbortSignal.any([agent.stopping, ...(signal ? [signal] : [])]) });
  // A tick in between decides: whatever is there already goes out together.
  let pending = records.next();
  for (;;) {
    const next = await Promise.race([pending, new Promise<null>((resolve) => setImmediate(() => resolve(null)))]);
    if (next === null) {
      await flush();
      const late = await pending;
      if (late.done) break;
      put(late.value);
    } else {
      if (next.done) break;
      put(next.value);
    }
    pending = records.next();
    if (size >= BATCH) await flush();
    if (!output.writable) {
      await records.return();
      return;
    }
  }
  await flush();

  function put(record: LogRecord): void {
    const stamp = query.timestamps && !begun[record.stream] ? Buffer.from(`${rfc3339Nano9(record.time)} `) : null;
    begun[record.stream] = record.partial;
    const line = Buffer.concat([...(stamp ? [stamp] : []), record.data, ...(record.partial ? [] : [NEWLINE])]);
    const data = Tty ? line : frame(record.stream === "stderr" ? 2 : 1, line);
    batch.push(data);
    size += data.length;
  }
}

/** Docker's log timestamps always have nine digits. */
function rfc3339Nano9(nano: bigint): string {
  return `${rfc3339Nano(nano).slice(0, 19)}.${String(nano % 1_000_000_000n).padStart(9, "0")}Z`;
}

export async function sendLogs(agent: Agent, id: string, query: URLSearchParams, output: Writable, signal: AbortSignal): Promise<void> {
  await writeLog(agent, entryOf(agent, id), output, readLogQuery(query), flag(query, "follow"), signal);
}
