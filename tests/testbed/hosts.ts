import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { removeCgroup } from "@gantry/runtime";
import { errnoOf } from "@gantry/kernel";
import { eventually, Failed, ok, run } from "../support/command.ts";
import { bridgeOf, machineAddress, tableOf, type HostPlan, type Layout } from "./layout.ts";
import { ended, isAlive, launchThrough, signal, type Launch, type ProcessMark } from "./processes.ts";

/**
 * A host is a process that holds a network, mount, UTS and PID namespace and reaps what is orphaned in them. It is the first process
 * of the PID namespace: when it ends, the kernel kills everything else on the host, as a power cut would. With a file in GANTRY_OWNER
 * it ends as soon as nobody holds the lock on it (owner.ts).
 */
const HOLD = `
set -e
mount --make-rprivate /
mount -t proc proc /proc
mkdir -p "$GANTRY_HOST_DIR/cgroup"
mount --rbind /sys/fs/cgroup "$GANTRY_HOST_DIR/cgroup"
mount -t sysfs sysfs /sys
mount --rbind "$GANTRY_HOST_DIR/cgroup" /sys/fs/cgroup
umount -R -l "$GANTRY_HOST_DIR/cgroup"
while [ $# -gt 0 ]; do mount --bind "$1" "$2"; shift 2; done
cat /proc/sys/kernel/random/uuid > "$GANTRY_HOST_DIR/boot_id"
mount --bind "$GANTRY_HOST_DIR/boot_id" /proc/sys/kernel/random/boot_id
hostname "$GANTRY_HOST_NAME"
ip link set lo up
: > "$GANTRY_HOST_DIR/ready"
if [ -n "$GANTRY_OWNER" ]; then flock --shared "$GANTRY_OWNER" true & else sleep infinity & fi
wait
`;

/** Powers a host on; resolves with the process that holds it. Its cable is not in yet. */
export async function bootHost(host: HostPlan, owner: string | null, log: string): Promise<ProcessMark> {
  const ready = join(host.dir, "ready");
  mkdirSync(join(host.dir, "state", "run"), { recursive: true });
  for (const from of Object.keys(host.binds)) mkdirSync(from, { recursive: true });
  rmSync(ready, { force: true });
  const keeper = await launchThrough(["unshare", "--net", "--mount", "--uts", "--pid", "--fork", "--"], {
    command: "/bin/sh", args: ["-c", HOLD, "sh", ...Object.entries(host.binds).flat()],
    env: { GANTRY_HOST_DIR: host.dir, GANTRY_HOST_NAME: host.name, GANTRY_OWNER: owner ?? "" }, log,
  });
  await eventually(`host ${host.name} to be up`, async () => {
    if (!isAlive(keeper)) throw new Failed(`host ${host.name} could not be made: see ${log}`);
    return existsSync(ready);
  });
  return keeper;
}

const enter = (keeper: ProcessMark) => ["nsenter", `--target=${keeper.pid}`, "--net", "--mount", "--uts", "--pid", "--"];

/** A command line that runs another one on the host, as a child that is waited for. */
export function onHost(keeper: ProcessMark, command: string, args: readonly string[]): [string, string[]] {
  const [program, ...rest] = enter(keeper);
  return [program!, [...rest, command, ...args]];
}

/** Starts a program on the host that outlives this process. */
export function launchOnHost(keeper: ProcessMark, launch: Launch): Promise<ProcessMark> {
  return launchThrough(enter(keeper), launch);
}

/** Makes the switch that hosts are plugged into, with an address of the machine's own. */
export async function makeBridge(layout: Layout): Promise<void> {
  const bridge = bridgeOf(layout);
  await ip(`link add ${bridge} type bridge\naddress add ${machineAddress(layout)}/24 dev ${bridge}\nlink set ${bridge} up`);
}

/** Plugs hosts in that have been booted. */
export async function plugIn(layout: Layout, hosts: readonly (HostPlan & { readonly keeper: ProcessMark })[]): Promise<void> {
  await ip(hosts.map(({ link, keeper }) => `link add ${link} type veth peer name eth0 netns ${keeper.pid}\nlink set ${link} master ${bridgeOf(layout)} up`).join("\n"));
  await Promise.all(hosts.map(({ keeper, address }) => ok(...onHost(keeper, "ip", ["-batch", "-"]), { input: `address add ${address}/24 dev eth0\nlink set eth0 up\n` })));
}

/** Powers a host off; resolves when nothing of it runs any more. */
export async function endHost(keeper: ProcessMark): Promise<void> {
  signal(keeper, "SIGKILL");
  await ended(keeper);
}

/** Takes away what the testbed has on the machine besides its directory, once its hosts are off. */
export async function removeTraces(layout: Layout, hosts: readonly HostPlan[]): Promise<void> {
  for (const link of [...hosts.map(({ link }) => link), bridgeOf(layout)]) await run("ip", ["link", "delete", link]);
  await run("nft", ["delete", "table", "bridge", tableOf(layout)]);
  // The kernel lets go of the cgroups of killed processes in its own time.
  await Promise.all(hosts.map(({ cgroupParent }) => eventually(`cgroup ${cgroupParent} to be free`, () => removeCgroup(cgroupParent).then(() => true, (e: unknown) => {
    if (errnoOf(e) !== "EBUSY") throw e;
    return false;
  }))));
}

async function ip(batch: string): Promise<void> {
  await ok("ip", ["-batch", "-"], { input: `${batch}\n` });
}
