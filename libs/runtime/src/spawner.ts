import { spawn } from "node:child_process";
import { once } from "node:events";
import { stat } from "node:fs/promises";
import type { Socket } from "node:net";
import { fail } from "@gantry/contracts";
import { errnoOf, isGantryError, systemClock } from "@gantry/kernel";
import { connectUnix, handshake } from "./connection.ts";
import { type Frame, Kind, Writer } from "./wire.ts";

const START_MS = 10_000;
const absent = (e: unknown): boolean => ["ENOENT", "ECONNREFUSED", "ECONNRESET"].includes(errnoOf(e) ?? "");

/**
 * One request to the spawner and its answer, with a spawner started when none answers. Tried again on a connection that ends
 * without one: it was to a spawner that was about to end.
 */
export async function askSpawner(socket: string, shim: string, request: Buffer): Promise<Frame> {
  for (const deadline = Date.now() + START_MS; ; await systemClock.sleep(10)) {
    const connection = await connectSpawner(socket, shim);
    try {
      return await handshake(connection, request);
    } catch (e) {
      if (!isGantryError(e, "NOT_RUNNING") || Date.now() > deadline) throw e;
    } finally {
      connection.destroy();
    }
  }
}

/** A connection to the spawner; starts one when none answers. */
export async function connectSpawner(socket: string, shim: string): Promise<Socket> {
  const deadline = Date.now() + START_MS;
  for (;;) {
    try {
      return await connectUnix(socket);
    } catch (e) {
      if (!absent(e)) throw e;
      if (Date.now() > deadline) throw fail("UNAVAILABLE", `the spawner of ${socket} does not answer`, { cause: e });
    }
    if (await launch(socket, shim) === "taken") await systemClock.sleep(20);
  }
}

/**
 * Ends a spawner that was started before this `shim` was put in place: it speaks an older wire format, perhaps.
 * Containers and their monitors stay, and are spoken to in what does not change: watch, attach, kill.
 */
export async function endOutdatedSpawner(socket: string, shim: string): Promise<void> {
  const [serving, program] = await Promise.all([stat(socket).catch(() => null), stat(shim).catch(() => null)]);
  if (serving !== null && program !== null && program.ctimeMs > serving.ctimeMs) await endSpawner(socket);
}

/** Runs the spawner on its own; it outlives this process. "taken": another one serves this socket, or is about to. */
async function launch(socket: string, shim: string): Promise<"ready" | "taken"> {
  const child = spawn(shim, ["spawner", "--socket", socket], { detached: true, stdio: ["ignore", "pipe", "pipe"], cwd: "/" });
  let out = "";
  let err = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => { out += text; });
  child.stderr.setEncoding("utf8").on("data", (text: string) => { err += text; });
  const failed = new Promise<never>((_, reject) => child.once("error", (e) => reject(fail("UNAVAILABLE", `cannot run ${shim}: ${e.message}`, { cause: e }))));
  failed.catch(() => {});
  child.unref();
  /* It closes both once it is ready, or by ending. */
  await Promise.race([Promise.all([once(child.stdout, "close"), once(child.stderr, "close")]), failed]);
  if (out === "ready\n") return "ready";
  if (out === "taken\n") return "taken";
  throw fail("UNAVAILABLE", `the spawner ${shim} did not start: ${err.trim() || "no reason given"}`);
}

/**
 * Ends the spawner of this socket and waits until it is gone; containers and their monitors stay.
 * No error when there is none.
 */
export async function endSpawner(socket: string): Promise<void> {
  let connection: Socket;
  try {
    connection = await connectUnix(socket);
  } catch (e) {
    if (absent(e)) return;
    throw e;
  }
  try {
    await handshake(connection, new Writer(Kind.end).frame());
  } finally {
    connection.destroy();
  }
}
