import type { Duplex } from "node:stream";
import type { Agent } from "../context.ts";
import { parseDetachKeys } from "../domain/detach-keys.ts";
import { readConsoleSize } from "../domain/exec-config.ts";
import { startExec } from "../execs.ts";
import { join } from "./join.ts";
import { frame, writeUpgraded } from "./raw.ts";

/** `POST /v1/exec/:id/start` with an upgrade. What cannot be started is told on the stream, as Docker's does, and the exit code says it. */
export async function execAttached(agent: Agent, id: string, body: Record<string, unknown>, socket: Duplex): Promise<void> {
  const exec = agent.execs.get(id);
  const keys = parseDetachKeys(exec.config.DetachKeys);
  const before = exec.started;
  let stream: Duplex;
  try {
    ({ stream } = await startExec(agent, exec, { attach: true, consoleSize: readConsoleSize(body["ConsoleSize"]) }));
  } catch (e) {
    // Refused before it was tried: an ordinary error. Tried and failed: Docker has switched protocols by then.
    if (before || exec.exitCode === null) throw e;
    const text = Buffer.from(`${e instanceof Error ? e.message : String(e)}\r\n`);
    writeUpgraded(socket, exec.config.Tty);
    socket.end(exec.config.Tty ? text : frame(1, text));
    return;
  }
  writeUpgraded(socket, exec.config.Tty);
  join(socket, stream, {
    stdin: exec.config.AttachStdin, closeStdin: true, detachKeys: exec.config.Tty && exec.config.AttachStdin ? keys : null,
    // The client asks for the exit code as soon as the stream is over.
    beforeEnd: () => exec.ended,
  });
}
