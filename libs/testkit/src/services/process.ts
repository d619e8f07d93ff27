import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createConnection, createServer, type AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

export interface SpawnOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Run as this user, when the caller is root. */
  readonly user?: string;
  /** Sent by the kernel should this process die without stopping the child. */
  readonly deathSignal?: "KILL" | "QUIT";
}

/** A child that dies with this process, whatever happens, and keeps the end of what it wrote, for error messages. */
export class ServiceProcess {
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  #output = "";

  constructor({ command, args, env, cwd, user, deathSignal = "KILL" }: SpawnOptions) {
    const identity = user !== undefined && process.getuid?.() === 0 ? [`--reuid=${user}`, `--regid=${user}`, "--clear-groups"] : [];
    // A group of its own: Ctrl-C is for the test runner, which then stops its services in order.
    this.#child = spawn("setpriv", [...identity, `--pdeathsig=${deathSignal}`, "--", command, ...args], {
      env: { PATH: process.env["PATH"] ?? "/usr/bin:/bin", LANG: "C.UTF-8", ...env }, cwd, detached: true, stdio: ["ignore", "pipe", "pipe"],
    });
    const keep = (chunk: Buffer) => { this.#output = (this.#output + chunk.toString()).slice(-8_000); };
    this.#child.stdout?.on("data", keep);
    this.#child.stderr?.on("data", keep);
    this.#exited = once(this.#child, "exit").then(() => undefined, (error: Error) => keep(Buffer.from(`${command}: ${error.message}`)));
  }

  get pid(): number { return this.#child.pid ?? 0; }
  get running(): boolean { return this.#child.exitCode === null && this.#child.signalCode === null && this.#child.pid !== undefined; }
  get output(): string { return this.#output; }
  get exited(): Promise<void> { return this.#exited; }

  signal(name: NodeJS.Signals): void {
    if (this.running) this.#child.kill(name);
  }

  /** Signals, and waits until it is gone; kills it after the grace. */
  async end(name: NodeJS.Signals, graceMs = 15_000): Promise<void> {
    if (!this.running) return;
    this.signal(name);
    const timer = setTimeout(() => this.signal("SIGKILL"), graceMs);
    await this.#exited;
    clearTimeout(timer);
  }

  /** Waits until the probe succeeds; fails at once when the process exits before. */
  async ready(what: string, probe: () => Promise<boolean>, timeoutMs = 60_000): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (!(await probe())) {
      if (!this.running) throw new Error(`${what} exited while it started:\n${this.#output}`);
      if (performance.now() > deadline) throw new Error(`${what} was not ready within ${timeoutMs} ms:\n${this.#output}`);
      await sleep(30);
    }
  }
}

/** A TCP port of the loopback address that nobody uses now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** Connects, sends `greeting`, and tells whether the answer begins with `expected`. */
export async function answers(port: number, greeting: string, expected: string, host = "127.0.0.1"): Promise<boolean> {
  const socket = createConnection({ host, port });
  socket.setTimeout(2_000, () => socket.destroy());
  try {
    await once(socket, "connect");
    if (greeting === "" && expected === "") return true;
    socket.write(greeting, "latin1");
    const [chunk] = (await once(socket, "data")) as [Buffer];
    return chunk.toString("latin1").startsWith(expected);
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
