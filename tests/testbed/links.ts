import { existsSync } from "node:fs";
import { join } from "node:path";
import { ok, run } from "../support/command.ts";
import { bridgeOf, hostsOf, logOf, ownerOf, tableOf, type HostPlan, type Layout } from "./layout.ts";
import { ended, launch, signal, type ProcessMark } from "./processes.ts";
import type { Records } from "./records.ts";

/** A cable's two other ends while something is plugged in between: the one towards the host, and the one in the switch. */
const inserted = ({ link }: HostPlan) => ({ near: `${link}d`, far: `${link}e` });
const cables = (host: HostPlan) => `{ "${host.link}", "${inserted(host).far}" }`;

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
  await ok("nft", ["add", "element", "bridge", tableOf(layout), "cut", cables(host)]);
}

/** All that the host sends and gets is late by this much, each way: a program is put between cable and switch (wire.c). */
export async function delay(layout: Layout, records: Records, host: HostPlan, ms: number): Promise<void> {
  await shorten(layout, records, host);
  const program = join(layout.dir, "wire");
  if (!existsSync(program)) await ok("gcc", ["-O2", "-o", program, join(import.meta.dirname, "wire.c")]);
  const { near, far } = inserted(host);
  await ok("ip", ["link", "add", near, "type", "veth", "peer", "name", far]);
  // Both are only passed through: the machine itself has nothing to say there.
  const quiet = [host.link, near].flatMap((device) => [`net.ipv4.conf.${device}.arp_ignore=8`, `net.ipv6.conf.${device}.disable_ipv6=1`]);
  await run("sysctl", ["-qe", "-w", ...quiet]);
  await ok("ip", ["-batch", "-"], { input: `link set ${host.link} nomaster\nlink set ${near} up\nlink set ${far} master ${bridgeOf(layout)} up\n` });
  const owner = ownerOf(layout);
  records.setWire(host.name, await launch({
    command: program, args: [host.link, near, String(ms), ...(owner === null ? [] : [owner])], env: {}, log: logOf(layout, `wire-${host.name}`),
  }));
}

/** Undoes cut and delay. */
export async function heal(layout: Layout, records: Records, host: HostPlan): Promise<void> {
  await shorten(layout, records, host);
  if ((await cutHosts(layout)).includes(host.name)) await ok("nft", ["delete", "element", "bridge", tableOf(layout), "cut", cables(host)]);
}

/** Takes out what was put in by `delay`. */
export async function shorten(layout: Layout, records: Records, host: HostPlan): Promise<void> {
  const wire = records.wire(host.name);
  if (wire === null) return;
  await endWire(wire);
  await run("ip", ["link", "delete", inserted(host).near]);
  await run("ip", ["link", "set", host.link, "master", bridgeOf(layout)]);
  records.setWire(host.name, null);
}

async function endWire(wire: ProcessMark): Promise<void> {
  signal(wire, "SIGKILL");
  await ended(wire);
}

/** The hosts that are cut off now. */
export async function cutHosts(layout: Layout): Promise<string[]> {
  const { stdout } = await run("nft", ["list", "set", "bridge", tableOf(layout), "cut"]);
  return hostsOf(layout).filter(({ link }) => stdout.includes(`"${link}"`)).map(({ name }) => name);
}
