import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { answers, ServiceProcess, type SpawnOptions } from "./process.ts";
import type { TestService } from "./service.ts";

/** A server's program, and how one sees that it serves. */
export interface ServerProgram extends SpawnOptions {
  readonly name: string;
  /** What it answers to whoever connects: an empty greeting and answer mean that it only has to accept. */
  readonly probe: { readonly address: string; readonly port: number; readonly greeting: string; readonly expected: string };
  readonly stopSignal: NodeJS.Signals;
  readonly killSignal: NodeJS.Signals;
}

/** A server as it can be started by this process, or on a host of a testbed: what runs, where it listens and keeps its data. */
export interface ServerPlan {
  readonly name: string;
  readonly url: string;
  /** In the order in which they start; the last one is the server, the others are what it needs. */
  readonly programs: readonly ServerProgram[];
  /** Makes its configuration and an empty data directory. `run` carries out a command where the server will run. */
  prepare(run: (command: string, args: readonly string[]) => Promise<void>): Promise<void>;
}

/** Connects to the program as its probe says, until it answers. */
export const serves = ({ probe }: ServerProgram): Promise<boolean> => answers(probe.port, probe.greeting, probe.expected, probe.address);

/** Starts a server for tests in a fresh directory, which goes with it. */
export async function startServer(name: string, plan: (home: string) => Promise<ServerPlan>, run: Parameters<ServerPlan["prepare"]>[0]): Promise<TestService> {
  const home = await mkdtemp(path.join(tmpdir(), `gantry-${name}-`));
  const running = new Map<string, ServiceProcess>();
  const remove = () => rm(home, { recursive: true, force: true, maxRetries: 3 });
  let server: ServerPlan;
  try {
    server = await plan(home);
    await server.prepare(run);
  } catch (error) {
    await remove();
    throw error;
  }
  const last = server.programs.at(-1)!;
  const service: TestService = {
    url: server.url,
    get running() { return running.get(last.name)?.running ?? false; },
    async start() {
      for (const program of server.programs) {
        if (running.get(program.name)?.running === true) continue;
        const child = new ServiceProcess(program);
        running.set(program.name, child);
        await child.ready(program.name, () => serves(program));
      }
    },
    async stop() { await running.get(last.name)?.end(last.stopSignal, 30_000); },
    async kill() { await running.get(last.name)?.end(last.killSignal); },
    async [Symbol.asyncDispose]() {
      for (const program of server.programs.toReversed()) await running.get(program.name)?.end(program.killSignal);
      await remove();
    },
  };
  try {
    await service.start();
  } catch (error) {
    await service[Symbol.asyncDispose]();
    throw error;
  }
  return service;
}
