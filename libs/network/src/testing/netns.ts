/** Helpers of this package's tests: network namespaces with real traffic between them. Needs root. */
import assert from "node:assert/strict";
import { fork, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import type { PeerCommand, PeerReply } from "./peer.ts";

const MARK = "GANTRY_TEST_NETNS";

/**
 * Runs `tests` in a network namespace that stands for a host: the test file is started again in one, with its loopback up.
 * Whatever is left there goes with the process.
 */
export function inHostNamespace(file: string, tests: () => void): void {
  if (process.env[MARK] === "1") return tests();
  test("in a network namespace of its own", { skip: process.getuid?.() === 0 ? false : "needs root" }, () => {
    // With NODE_TEST_CONTEXT the inner run would speak the runner's binary protocol.
    const { NODE_TEST_CONTEXT: _, ...rest } = process.env;
    const env = { ...rest, [MARK]: "1" };
    const command = `busybox ip link set lo up && exec "$0" --test-reporter=tap "$1"`;
    const result = spawnSync("unshare", ["-n", "sh", "-c", command, process.execPath, fileURLToPath(file)], { env, encoding: "utf8", timeout: 120_000, killSignal: "SIGKILL" });
    assert.equal(result.status, 0, `${result.stdout}\n${result.stderr}`);
  });
}

/** A process in a network namespace of its own. */
export class Peer implements AsyncDisposable {
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (reply: PeerReply) => void>();
  #next = 1;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.pid = child.pid!;
    child.on("message", (reply: PeerReply) => {
      this.#waiting.get(reply.id)?.(reply);
      this.#waiting.delete(reply.id);
    });
  }

  static async start(): Promise<Peer> {
    const file = fileURLToPath(new URL("./peer.ts", import.meta.url));
    const child = fork(file, ["peer"], { execPath: "unshare", execArgv: ["-n", process.execPath], stdio: ["ignore", "inherit", "inherit", "ipc"] });
    const peer = new Peer(child);
    await once(child, "message");
    return peer;
  }

  async serve(protocol: "tcp" | "udp", port: number): Promise<void> {
    await this.#ask({ op: "serve", protocol, port });
  }

  /** What the server at host:port says: the address it sees us come from. Null when there is no way. */
  async call(protocol: "tcp" | "udp", host: string, port: number, timeoutMs = 2000): Promise<string | null> {
    return (await this.#ask({ op: "call", protocol, host, port, timeoutMs })).text;
  }

  /** A shell command inside its network namespace. */
  run(command: string): void {
    const { status, stderr } = spawnSync("nsenter", ["-t", String(this.pid), "-n", "sh", "-c", command], { encoding: "utf8" });
    assert.equal(status, 0, stderr);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const gone = once(this.#child, "exit");
    this.#child.disconnect();
    await gone;
  }

  async #ask(command: PeerCommand): Promise<PeerReply> {
    const id = this.#next++;
    const reply = new Promise<PeerReply>((resolve) => this.#waiting.set(id, resolve));
    this.#child.send({ ...command, id });
    const got = await reply;
    if (got.error !== null) throw new Error(got.error);
    return got;
  }
}
