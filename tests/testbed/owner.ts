import { spawn } from "node:child_process";
import { once } from "node:events";
import { Failed } from "../support/command.ts";

/** Holds a lock on a file for as long as this process lives, even should it be killed; disposing lets go of it. */
export async function holdLock(file: string): Promise<AsyncDisposable> {
  const holder = spawn("flock", ["--exclusive", "--nonblock", file, "sh", "-c", "echo held; exec cat"], { stdio: ["pipe", "pipe", "ignore"], detached: true });
  const exited = once(holder, "exit");
  const first = await Promise.race([once(holder.stdout, "data").then(([chunk]) => String(chunk)), exited.then(() => "")]);
  if (!first.startsWith("held")) throw new Failed(`${file} is held by another process`);
  holder.unref();
  for (const stream of [holder.stdin, holder.stdout]) (stream as unknown as { unref(): void }).unref();
  return {
    async [Symbol.asyncDispose]() {
      holder.ref();
      holder.stdin.end();
      await exited;
    },
  };
}
