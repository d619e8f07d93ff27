import { ok, run } from "../support/command.ts";
import { hostsOf, tableOf, type HostPlan, type Layout } from "./layout.ts";

/** A set of cables; what comes or goes on one of these is dropped on the switch, without a word to anyone. */
export async function makeCutter(layout: Layout): Promise<void> {
  await ok("nft", ["-f", "-"], { input: `
table bridge ${tableOf(layout)} {
  set cut { type ifname; }
  chain forward { type filter hook forward priority 0; iifname @cut drop; oifname @cut drop; }
  chain input { type filter hook input priority 0; iifname @cut drop; }
  chain output { type filter hook output priority 0; oifname @cut drop; }
}
` });
}

/** Takes the host off the network: nothing gets through in either direction, on connections that there are neither. */
export async function cut(layout: Layout, host: HostPlan): Promise<void> {
  await ok("nft", ["add", "element", "bridge", tableOf(layout), "cut", `{ "${host.link}" }`]);
}

/** All that the host sends and gets is late by this much, each way. Needs netem in the kernel. */
export async function delay(host: HostPlan, ms: number, inside: readonly [string, string[]]): Promise<void> {
  const netem = (device: string) => ["qdisc", "replace", "dev", device, "root", "netem", "delay", `${ms}ms`, "limit", "10000"];
  await ok("tc", netem(host.link));
  await ok(inside[0], [...inside[1], ...netem("eth0")]);
}

/** Undoes cut and delay. */
export async function heal(layout: Layout, host: HostPlan, inside: readonly [string, string[]]): Promise<void> {
  const { stdout } = await run("nft", ["list", "set", "bridge", tableOf(layout), "cut"]);
  if (stdout.includes(`"${host.link}"`)) await ok("nft", ["delete", "element", "bridge", tableOf(layout), "cut", `{ "${host.link}" }`]);
  await run("tc", ["qdisc", "delete", "dev", host.link, "root"]);
  await run(inside[0], [...inside[1], "tc", "qdisc", "delete", "dev", "eth0", "root"]);
}

/** The hosts that are cut off now. */
export async function cutHosts(layout: Layout): Promise<string[]> {
  const { stdout } = await run("nft", ["list", "set", "bridge", tableOf(layout), "cut"]);
  return hostsOf(layout).filter(({ link }) => stdout.includes(`"${link}"`)).map(({ name }) => name);
}
