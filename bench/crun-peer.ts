import { spawn, type ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { crunBundle } from "./start-exit.ts";

/**
 * `crun run` of a bundle that runs `true`, started over and over by one small shell. The shell has a mount namespace without the hybrid
 * cgroup2 mount, with which crun refuses to run where a controller is there that no v1 hierarchy has.
 */
const LOOP = 'umount -l /sys/fs/cgroup/unified 2>/dev/null; while read -r id; do crun run --bundle "$1" "$id" </dev/null; echo $?; done';

export class CrunPeer implements AsyncDisposable {
  readonly #bundle: ReturnType<typeof crunBundle>;
  readonly #shell: ChildProcess;
  readonly #answers: AsyncIterator<string>;
  #count = 0;

  constructor() {
    this.#bundle = crunBundle();
    this.#shell = spawn("unshare", ["--mount", "--propagation", "private", "sh", "-c", LOOP, "sh", this.#bundle.dir], { stdio: ["pipe", "pipe", "inherit"] });
    this.#shell.on("error", () => {}); // its output ends, which `run` reports
    this.#shell.stdin!.on("error", () => {});
    this.#answers = createInterface({ input: this.#shell.stdout! })[Symbol.asyncIterator]();
  }

  /** One container, from start to exit. */
  async run(): Promise<void> {
    this.#shell.stdin!.write(`gantry-bench-${process.pid}-${this.#count++}\n`);
    const { value, done } = await this.#answers.next();
    if (done === true || value !== "0") throw new Error(`crun run ended with ${String(value)}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#shell.stdin!.end();
    if (this.#shell.exitCode === null && this.#shell.pid !== undefined) await new Promise((ended) => this.#shell.once("exit", ended));
    await this.#bundle[Symbol.asyncDispose]();
  }
}
