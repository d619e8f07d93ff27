import { execFileSync, spawn, type ChildProcess } from "node:child_process";

/** A bridge on this machine that stands for the wire between test hosts. */
export interface TestNetwork extends Disposable {
  readonly bridge: string;
  /** The machine's own address on it, which test hosts reach. */
  readonly address: string;
  /** A network namespace with one interface on the bridge: a host as far as the network goes. */
  addHost(): TestHost;
}

export interface TestHost extends Disposable {
  /** Name of the namespace, for `ip netns`. */
  readonly namespace: string;
  readonly address: string;
  /** Starts a program on the host. */
  spawn(command: string, args: readonly string[], env?: NodeJS.ProcessEnv): ChildProcess;
  /** Runs a program on the host and gives what it wrote. */
  run(command: string, args: readonly string[]): string;
  /** Takes the cable out, or puts it back: for partitions. */
  connect(up: boolean): void;
}

let networks = 0;

/**
 * Makes a network 10.213.x.0/24 of its own for test hosts. Root and iproute2 are needed. Disposing removes hosts and bridge;
 * processes started on a host are the caller's to end.
 */
export function testNetwork(): TestNetwork {
  const tag = `${(process.pid % 46_656).toString(36)}${(networks++).toString(36)}`;
  const subnet = `10.213.${(process.pid + networks) % 250}`;
  const bridge = `gyt${tag}`;
  const scope = new DisposableStack();
  let hosts = 0;
  try {
    ip("link", "add", bridge, "type", "bridge");
    scope.defer(() => ip("link", "delete", bridge));
    ip("address", "add", `${subnet}.1/24`, "dev", bridge);
    ip("link", "set", bridge, "up");
  } catch (error) {
    scope.dispose();
    throw error;
  }
  return {
    bridge,
    address: `${subnet}.1`,
    addHost() {
      const number = ++hosts;
      return scope.use(addHost({ bridge, namespace: `gyt-${tag}-${number}`, outside: `gyt${tag}h${number}`, address: `${subnet}.${number + 1}`, gateway: `${subnet}.1` }));
    },
    [Symbol.dispose]() { scope.dispose(); },
  };
}

/** The smallest: one host on a network of its own. */
export function testNamespace(): TestHost & { readonly hostAddress: string } {
  const network = testNetwork();
  try {
    const host = network.addHost();
    return { ...host, hostAddress: network.address, [Symbol.dispose]() { network[Symbol.dispose](); } };
  } catch (error) {
    network[Symbol.dispose]();
    throw error;
  }
}

function addHost(plan: { bridge: string; namespace: string; outside: string; address: string; gateway: string }): TestHost {
  const { namespace, outside } = plan;
  const inside = (...args: string[]) => ip("-n", namespace, ...args);
  ip("netns", "add", namespace);
  try {
    ip("link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", namespace);
    ip("link", "set", outside, "master", plan.bridge, "up");
    inside("link", "set", "lo", "up");
    inside("address", "add", `${plan.address}/24`, "dev", "eth0");
    inside("link", "set", "eth0", "up");
    inside("route", "add", "default", "via", plan.gateway);
  } catch (error) {
    ip("netns", "delete", namespace);
    throw error;
  }
  let gone = false;
  return {
    namespace,
    address: plan.address,
    spawn: (command, args, env) => spawn("ip", ["netns", "exec", namespace, command, ...args], { stdio: ["ignore", "pipe", "pipe"], ...(env === undefined ? {} : { env }) }),
    run: (command, args) => execFileSync("ip", ["netns", "exec", namespace, command, ...args], { encoding: "utf8" }),
    connect: (up) => { ip("link", "set", outside, up ? "up" : "down"); },
    [Symbol.dispose]() {
      if (gone) return;
      gone = true;
      // Its end of the pair goes at once, the namespace when its last process has ended.
      ip("link", "delete", outside);
      ip("netns", "delete", namespace);
    },
  };
}

function ip(...args: string[]): void {
  execFileSync("ip", args, { stdio: ["ignore", "ignore", "pipe"] });
}
