import { spawn } from "node:child_process";
import { resolve } from "node:path";

export const ROOT = resolve(import.meta.dirname, "../..");
export const MAIN = resolve(ROOT, "services/gantry/bin/gantry.mjs");

export interface Result { code: number; stdout: string; stderr: string }

export interface RunOptions { input?: string | Buffer; env?: Record<string, string>; cwd?: string; timeoutMs?: number }

/** Runs a program to its end. Never rejects for its exit code. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Result> {
  return new Promise((done, reject) => {
    const child = spawn(command, args, { cwd: options.cwd ?? ROOT, env: { ...process.env, ...options.env }, stdio: ["pipe", "pipe", "pipe"] });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => err.push(chunk));
    const limit = setTimeout(() => child.kill("SIGKILL"), options.timeoutMs ?? 120_000);
    child.on("error", (e) => { clearTimeout(limit); reject(e); });
    child.on("close", (code) => {
      clearTimeout(limit);
      done({ code: code ?? -1, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() });
    });
    child.stdin.on("error", () => {}); // a program may end before it has read everything
    child.stdin.end(options.input ?? "");
  });
}

export class Failed extends Error {}

/** As `run`; an exit code other than 0 throws with what the program wrote. Answers stdout without the last newline. */
export async function ok(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const result = await run(command, args, options);
  if (result.code !== 0) throw new Failed(`${command} ${args.join(" ")} ended with ${result.code}\n${result.stdout}${result.stderr}`);
  return result.stdout.replace(/\n$/, "");
}

/** Waits until `condition` answers something other than null or false; fails after `timeoutMs`. */
export async function eventually<T>(what: string, condition: () => Promise<T | null | false>, timeoutMs = 60_000): Promise<T> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const value = await condition();
    if (value !== null && value !== false) return value;
    if (performance.now() > end) throw new Failed(`waited ${timeoutMs} ms for ${what}`);
    await new Promise((r) => setTimeout(r, 25));
  }
}
