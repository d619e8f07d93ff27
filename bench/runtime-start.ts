import { loadNative } from "../libs/runtime/src/index.ts";
import { Rig } from "../libs/runtime/src/test/rig.ts";

/** Milliseconds of one start by libs/runtime alone, nothing of the engine around it. */
export interface RuntimeTimes {
  /** `start` called → the monitor sees the container's process about to execute its program. */
  readonly request: number;
  /** → `start` answers. */
  readonly answer: number;
  /** about to execute → the monitor has waited for the process and read the clock. */
  readonly program: number;
  /** → `exited` resolves: log and exit file are written. */
  readonly exit: number;
}

const now = (): number => performance.timeOrigin + performance.now();
const milliseconds = (nanoseconds: bigint): number => Number(nanoseconds) / 1e6;

/** A spawner, a root file system and a bridge of the benchmark's own. `none`: a network namespace with nothing but lo. */
export class RuntimeBench implements AsyncDisposable {
  readonly #rig: Rig;
  readonly #bridge = `gb${process.pid}`;
  #veths = 0;

  private constructor(rig: Rig) { this.#rig = rig; }

  static async make(): Promise<RuntimeBench> {
    const bench = new RuntimeBench(await Rig.make());
    loadNative().net.bridgeCreateSync(bench.#bridge, "02:42:7f:00:00:01", 1500, []);
    return bench;
  }

  async start(network: "none" | "bridge"): Promise<RuntimeTimes> {
    const hostName = `gv${process.pid}-${this.#veths++ % 10_000}`.slice(0, 15);
    const spec = await this.#rig.spec(["true"], network === "none" ? {} : { networks: [
      { bridge: this.#bridge, hostName, name: "eth0", mac: "02:42:0a:00:00:02", addresses: ["10.255.255.2/24"], gateway: "10.255.255.1", gateway6: null, mtu: 1500 },
    ] });
    const called = now();
    const { container } = await this.#rig.runtime.start(spec);
    const answered = now();
    const { finishedAt } = await container.exited;
    const executing = milliseconds(container.startedAt);
    const ended = milliseconds(finishedAt);
    return { request: executing - called, answer: answered - executing, program: ended - executing, exit: now() - ended };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#rig[Symbol.asyncDispose]();
    await loadNative().net.linkDelete(this.#bridge);
  }
}
