import { watch } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, isGantryError, systemClock } from "@gantry/kernel";
import { Channel } from "./connection.ts";
import { connectMonitor, isNotice } from "./container.ts";
import { Kind, Writer } from "./wire.ts";

/** Tells when there is more of a log. */
export interface Follower {
  /** The container has ended: what is there is all. */
  ended(): boolean;
  /** Something was written since the last call, or the container has ended. */
  changed(): Promise<void>;
  close(): void;
}

export async function followLog(dir: string, signal: AbortSignal | undefined): Promise<Follower> {
  let ended = false;
  let dirty = true;
  let wake: () => void = () => {};
  const touch = () => { dirty = true; wake(); };
  // The directory, for the file is another one after a while.
  const watcher = watch(dir, (_event, name) => { if (name === null || name.startsWith("log")) touch(); });
  watcher.on("error", touch);
  signal?.addEventListener("abort", touch, { once: true });
  const end = await containerEnd(dir, signal).catch((e: unknown) => {
    watcher.close();
    throw e;
  });
  void end.ended.then(() => { ended = true; touch(); });
  return {
    ended: () => ended,
    changed: async () => {
      if (!dirty) await new Promise<void>((resolve) => { wake = resolve; });
      dirty = false;
    },
    close() {
      watcher.close();
      end.close();
      signal?.removeEventListener("abort", touch);
    },
  };
}

/** Whether what is written now goes into another file than this. */
export async function isRotated(dir: string, inode: bigint): Promise<boolean> {
  try {
    return (await stat(join(dir, "log"), { bigint: true })).ino !== inode;
  } catch (e) {
    if (errnoOf(e) === "ENOENT") return true;
    throw e;
  }
}

/** When the container has ended, or its monitor is gone. */
async function containerEnd(dir: string, signal: AbortSignal | undefined): Promise<{ ended: Promise<void>; close(): void }> {
  for (let tries = 0; ; tries++) {
    try {
      const socket = await connectMonitor(dir);
      let told: () => void = () => {};
      const exited = new Promise<void>((resolve) => { told = resolve; });
      const channel = new Channel(socket, isNotice, (frame) => { if (frame.kind === Kind.exit) told(); });
      try {
        await channel.request(new Writer(Kind.watch).frame());
        return { ended: Promise.race([exited, channel.closed]), close: () => channel.close() };
      } catch (e) {
        channel.close();
        throw e;
      }
    } catch (e) {
      /* UNAVAILABLE: it is about to start. */
      const starting = isGantryError(e, "UNAVAILABLE");
      if (!starting && !isGantryError(e, "NOT_RUNNING")) throw e;
      if (!starting || tries > 500 || signal?.aborted) return { ended: Promise.resolve(), close() {} };
      await systemClock.sleep(20);
    }
  }
}
