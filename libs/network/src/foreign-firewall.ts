import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { describeError, type Logger } from "@gantry/kernel";
import type { NativeNet } from "@gantry/runtime";

const run = promisify(execFile);
const TIMEOUT_MS = 10_000;

/**
 * Other firewalls of the host that drop what is forwarded (Docker sets the policy of iptables' FORWARD chain to DROP). A packet
 * must pass every table, so accepting it in ours does not help; two rules in theirs do, in the chain that Docker keeps for
 * others (DOCKER-USER), else at the head of FORWARD. `iptables` writes them: rules written by nft into its tables would make
 * them unreadable to it.
 */
export class ForeignFirewall {
  readonly #native: Pick<NativeNet, "nft">;
  readonly #pattern: string;
  readonly #logger: Logger;

  /** `bridgePrefix`: what the names of our bridges start with. */
  constructor(native: Pick<NativeNet, "nft">, bridgePrefix: string, logger: Logger) {
    this.#native = native;
    this.#pattern = `${bridgePrefix}+`;
    this.#logger = logger;
  }

  /** Lets our bridges pass. Repeating it changes nothing. Warns where it cannot. */
  async open(): Promise<void> {
    for (const command of await this.#dropping()) {
      try {
        await this.#remove(command);
        const chain = await this.#chain(command);
        for (const rule of this.#rules()) await iptables(command, ["-I", chain, ...rule]);
      } catch (e) {
        this.#logger.warn({ command, cause: describeError(e) },
          "another firewall drops forwarded packets, and its rules could not be changed: containers may not reach other hosts, nor be reached");
      }
    }
  }

  async close(): Promise<void> {
    for (const command of await this.#dropping()) {
      try {
        await this.#remove(command);
      } catch (e) {
        this.#logger.warn({ command, cause: describeError(e) }, "could not remove the rules from the other firewall");
      }
    }
  }

  /** The iptables flavours that hold a FORWARD chain which drops, by what the kernel says: no program is started to look. */
  async #dropping(): Promise<string[]> {
    const commands: string[] = [];
    const chains = await this.#native.nft("list chains");
    let table = "";
    for (const line of chains.split("\n")) {
      table = /^table (\S+ \S+)/.exec(line)?.[1] ?? table;
      if (!/hook forward .*policy drop/.test(line)) continue;
      if (table === "ip filter") commands.push("iptables-nft");
      else this.#logger.warn({ table }, `table ${table} drops forwarded packets by default: let ${this.#pattern.replace("+", "*")} pass there`);
    }
    if (usesLegacyTables()) commands.push("iptables-legacy");
    return commands;
  }

  async #chain(command: string): Promise<string> {
    const list = await iptables(command, ["-S"]);
    return list.includes("-N DOCKER-USER\n") ? "DOCKER-USER" : "FORWARD";
  }

  async #remove(command: string): Promise<void> {
    const list = await iptables(command, ["-S"]);
    for (const line of list.split("\n")) {
      const words = line.split(" ");
      if (words[0] === "-A" && words.includes(this.#pattern)) await iptables(command, ["-D", ...words.slice(1)]);
    }
  }

  #rules(): string[][] {
    return [["-i", this.#pattern, "-j", "ACCEPT"], ["-o", this.#pattern, "-j", "ACCEPT"]];
  }
}

async function iptables(command: string, args: string[]): Promise<string> {
  const { stdout } = await run(command, ["-w", "5", "-t", "filter", ...args], { timeout: TIMEOUT_MS, maxBuffer: 16 * 1024 * 1024 });
  return stdout;
}

/** xtables' own filter table is loaded; whether its policy drops, only the program tells. */
function usesLegacyTables(): boolean {
  try {
    return readFileSync("/proc/net/ip_tables_names", "utf8").split("\n").includes("filter");
  } catch {
    return false;
  }
}
