import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Failed, MAIN, ok, ROOT, run, type Result, type RunOptions } from "../../support/command.ts";

export { eventually, Failed, ROOT, run, type Result, type RunOptions } from "../../support/command.ts";

/** More arguments and variables of `gantry up`; `command` in place of the checkout's. */
export interface UpOptions { readonly args?: readonly string[]; readonly env?: Readonly<Record<string, string>>; readonly command?: string }

/** A Gantry of a test's own: one process, its own state directory; the stock docker command drives it. */
export class Engine implements AsyncDisposable {
  readonly dir: string;
  readonly socket: string;
  #process: ChildProcess | null = null;
  /** Addresses of the dashboard with the token that opens them, as the last start printed them. */
  dashboards: readonly URL[] = [];

  private constructor(dir: string) {
    this.dir = dir;
    this.socket = join(dir, "run", "docker.sock");
  }

  static async start(options: UpOptions = {}): Promise<Engine> {
    const engine = new Engine(mkdtempSync(join(tmpdir(), "gantry-e2e-")));
    await engine.up(options);
    return engine;
  }

  get pid(): number {
    if (this.#process?.pid === undefined) throw new Failed("the engine is not running");
    return this.#process.pid;
  }

  /** Starts the services on the state directory; resolves with the milliseconds until they were ready. */
  async up({ args = [], env = {}, command }: UpOptions = {}): Promise<number> {
    const start = performance.now();
    const gantry = command === undefined ? [process.execPath, MAIN] as const : [command] as const;
    const child = spawn(gantry[0], [...gantry.slice(1), "up", "--state-dir", this.dir, ...args], { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, DOCKER_HOST: "", ...env } });
    this.#process = child;
    let output = "";
    child.stderr!.on("data", (chunk: Buffer) => { output += chunk.toString(); process.stderr.write(chunk); });
    await new Promise<void>((ready, reject) => {
      child.stdout!.on("data", (chunk: Buffer) => {
        output += chunk.toString();
        if (!/^DOCKER_HOST=unix:\/\/[^]*^Ctrl-C /m.test(output)) return;
        this.dashboards = [...output.matchAll(/^Dashboard and HTTP API: (.*)$/gm)].map((match) => new URL(match[1]!));
        ready();
      });
      child.on("exit", (code) => reject(new Failed(`the engine ended with ${code} before it was ready:\n${output}`)));
    });
    return performance.now() - start;
  }

  /** Ends the services as Ctrl-C does, or with SIGKILL as a crash does; containers go on. */
  async stop(signal: "SIGINT" | "SIGKILL" = "SIGINT"): Promise<void> {
    const child = this.#process;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    await new Promise<void>((ended) => { child.once("exit", () => ended()); child.kill(signal); });
    this.#process = null;
  }

  env(): Record<string, string> {
    return { DOCKER_HOST: `unix://${this.socket}`, DOCKER_BUILDKIT: "0", DOCKER_CONFIG: join(this.dir, "docker-config"), DOCKER_API_VERSION: "" };
  }

  /** The stock docker command. */
  docker(args: readonly string[], options: RunOptions = {}): Promise<Result> {
    return run("docker", args, { ...options, env: { ...this.env(), ...options.env } });
  }

  /** The stock docker command, whose failure fails the test; answers stdout without the last newline. */
  ok(args: readonly string[], options: RunOptions = {}): Promise<string> {
    return ok("docker", args, { ...options, env: { ...this.env(), ...options.env } });
  }

  /** The `gantry` command. */
  gantry(args: readonly string[], options: RunOptions = {}): Promise<Result> {
    return run(process.execPath, [MAIN, ...args], { ...options, env: { ...this.env(), ...options.env } });
  }

  async loadBase(name: "busybox" | "debian" | "node"): Promise<void> {
    const result = await this.gantry(["base", name], { timeoutMs: 300_000 });
    if (result.code !== 0) throw new Failed(`gantry base ${name}: ${result.stdout}${result.stderr}`);
  }

  /** Ends everything and removes the state directory: `gantry down`, whose failure is one of the test's. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    const result = await this.gantry(["down", "--state-dir", this.dir]);
    if (result.code !== 0) throw new Failed(`gantry down ended with ${result.code}\n${result.stdout}${result.stderr}`);
    rmSync(this.dir, { recursive: true, force: true });
  }
}
