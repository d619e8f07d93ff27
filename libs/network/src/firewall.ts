import { fail } from "@gantry/contracts";
import { describeError, type Logger } from "@gantry/kernel";
import type { NativeNet } from "@gantry/runtime";
import { addPorts, deletePorts, removeAll, renderAll, type PortRule } from "./firewall-rules.ts";
import type { NetworkConfig } from "./port.ts";

/**
 * Keeps the tables in the kernel equal to what it was told. Changes go out one at a time, in order. A change that the kernel
 * refuses (someone flushed the ruleset) is answered by writing everything anew, in one transaction.
 */
export class Firewall {
  readonly #native: Pick<NativeNet, "nft" | "forgetUdpFlowsSync">;
  readonly #table: string;
  readonly #logger: Logger;
  readonly #networks = new Map<string, NetworkConfig>();
  readonly #ports = new Map<string, readonly PortRule[]>();
  #tail: Promise<unknown> = Promise.resolve();

  constructor(native: Pick<NativeNet, "nft" | "forgetUdpFlowsSync">, table: string, logger: Logger) {
    this.#native = native;
    this.#table = table;
    this.#logger = logger;
  }

  /** Everything at once, at start. `ports` by container. */
  replace(networks: readonly NetworkConfig[], ports: ReadonlyMap<string, readonly PortRule[]>): Promise<void> {
    return this.#inOrder(async () => {
      this.#networks.clear();
      this.#ports.clear();
      for (const network of networks) this.#networks.set(network.id, network);
      for (const [containerId, rules] of ports) this.#ports.set(containerId, rules);
      await this.#writeAll();
    });
  }

  setNetwork(network: NetworkConfig): Promise<void> {
    return this.#inOrder(async () => {
      const before = this.#networks.get(network.id);
      this.#networks.set(network.id, network);
      try {
        await this.#writeAll();
      } catch (e) {
        if (before === undefined) this.#networks.delete(network.id);
        else this.#networks.set(network.id, before);
        throw e;
      }
    });
  }

  removeNetwork(networkId: string): Promise<void> {
    return this.#inOrder(async () => {
      if (this.#networks.delete(networkId)) await this.#writeAll();
    });
  }

  /** The ports of one container. Replaces none: a container publishes once. */
  addPorts(containerId: string, rules: readonly PortRule[]): Promise<void> {
    return this.#inOrder(async () => {
      this.#ports.set(containerId, [...(this.#ports.get(containerId) ?? []), ...rules]);
      try {
        await this.#change(addPorts(this.#table, rules));
      } catch (e) {
        this.#ports.delete(containerId);
        throw e;
      }
      this.#forgetFlows(rules);
    });
  }

  removePorts(containerId: string): Promise<void> {
    return this.#inOrder(async () => {
      const rules = this.#ports.get(containerId);
      if (rules === undefined) return;
      this.#ports.delete(containerId);
      await this.#change(deletePorts(this.#table, rules));
      this.#forgetFlows(rules);
    });
  }

  /** Removes the tables. */
  async destroy(): Promise<void> {
    await this.#inOrder(async () => {
      this.#networks.clear();
      this.#ports.clear();
      await this.#native.nft(removeAll(this.#table).join("\n"));
    });
  }

  /** `table FAMILY NAME` of each of ours that the kernel has. */
  async tables(): Promise<string[]> {
    const list = await this.#native.nft("list tables");
    return list.split("\n").map((line) => line.trim()).filter((line) => line.split(" ").at(-1) === this.#table);
  }

  async #change(commands: string): Promise<void> {
    if (commands === "") return;
    try {
      await this.#native.nft(commands);
    } catch (e) {
      this.#logger.warn({ table: this.#table, cause: describeError(e) }, "the firewall table was changed by others; writing it anew");
      await this.#writeAll();
    }
  }

  #forgetFlows(rules: readonly PortRule[]): void {
    const ports = new Set(rules.filter((rule) => rule.protocol === "udp").map((rule) => rule.hostPort));
    try {
      for (const batch of batches([...ports], 1024)) this.#native.forgetUdpFlowsSync(batch);
    } catch (e) {
      this.#logger.warn({ cause: describeError(e) }, "could not clear UDP flows: clients of a republished port may have to wait until theirs expire");
    }
  }

  async #writeAll(): Promise<void> {
    try {
      await this.#native.nft(renderAll(this.#table, { networks: [...this.#networks.values()], ports: [...this.#ports.values()].flat() }));
    } catch (e) {
      throw fail("INTERNAL", `cannot write the firewall rules: ${describeError(e)}`, { cause: e });
    }
  }

  #inOrder<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#tail.then(work, work);
    this.#tail = mine.catch(() => {});
    return mine;
  }
}

function batches<T>(list: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(list.length / size) }, (_, i) => list.slice(i * size, (i + 1) * size));
}
