import type { Command } from "commander";
import { connectEngine, type Engine } from "../client/engine.ts";

/** Adds `-H, --host`, and runs `work` with a connection to the engine it names. */
export function withEngine<A extends unknown[]>(defaultHost: () => string, work: (engine: Engine, ...args: A) => Promise<number | void>): (...args: A) => Promise<void> {
  return async (...args) => {
    const command = args.at(-1) as Command;
    const host = command.optsWithGlobals<{ host?: string }>().host ?? process.env.DOCKER_HOST ?? defaultHost();
    const engine = connectEngine(host);
    try {
      const code = await work(engine, ...args);
      if (typeof code === "number") process.exitCode = code;
    } finally {
      engine.close();
    }
  };
}

/** For commander's repeatable options. */
export function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value];
}

/** Does the same to each name, goes on after a failure, prints the name of each success; 1 if any failed. */
export async function forEachName(names: readonly string[], work: (name: string) => Promise<string | void>): Promise<number> {
  let code = 0;
  for (const name of names) {
    try {
      process.stdout.write(`${(await work(name)) ?? name}\n`);
    } catch (e) {
      process.stderr.write(`Error response from daemon: ${e instanceof Error ? e.message : String(e)}\n`);
      code = 1;
    }
  }
  return code;
}
