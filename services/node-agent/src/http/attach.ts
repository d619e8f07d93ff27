import type { Duplex } from "node:stream";
import type { AttachOptions } from "@gantry/runtime";
import { entryOf, type Agent } from "../context.ts";
import { parseDetachKeys } from "../domain/detach-keys.ts";
import type { Waiter } from "../model.ts";
import { join, type JoinOptions } from "./join.ts";
import { writeLog } from "./logs.ts";
import { writeUpgraded } from "./raw.ts";
import { flag } from "./query.ts";

const MAX_WAITERS = 256;

/**
 * `POST /v1/containers/:id/attach`. A container that was not started answers at once, and gives its stream when it starts: before
 * its process runs, so that nothing is lost.
 */
export async function attach(agent: Agent, id: string, query: URLSearchParams, socket: Duplex): Promise<void> {
  const entry = entryOf(agent, id);
  const { config } = entry.spec;
  const keys = parseDetachKeys(query.get("detachKeys") ?? "");
  const wantsStdin = flag(query, "stdin") && config.OpenStdin;
  const options: AttachOptions = { stdin: wantsStdin, stdout: flag(query, "stdout"), stderr: flag(query, "stderr") };
  const joining: JoinOptions = { stdin: wantsStdin, closeStdin: config.StdinOnce, detachKeys: config.Tty && wantsStdin ? keys : null };
  const streaming = flag(query, "stream");
  // Attached before the log is read: what is written in between comes twice rather than never, as Docker's.
  const stream = streaming && entry.running ? await entry.running.attach(options) : null;
  writeUpgraded(socket, config.Tty);
  if (flag(query, "logs")) await writeLog(agent, entry, socket, { stdout: options.stdout, stderr: options.stderr, tail: null, since: null, until: null, timestamps: false, details: false });
  if (stream) return join(socket, stream, joining);
  // Also one that has ended: `docker start -a` attaches before it starts.
  const waits = streaming && entry.waiters.size < MAX_WAITERS;
  if (!waits) {
    socket.end();
    return;
  }
  const waiter: Waiter = {
    options,
    begin: (started) => { socket.off("close", gone); join(socket, started, joining); },
    cancel: () => { entry.waiters.delete(waiter); socket.off("close", gone); socket.end(); },
  };
  const gone = () => { entry.waiters.delete(waiter); };
  entry.waiters.add(waiter);
  socket.once("close", gone);
  socket.on("error", () => socket.destroy());
}
