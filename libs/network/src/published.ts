import { readFileSync } from "node:fs";
import { fail } from "@gantry/contracts";
import { describeError, errnoOf, isGantryError } from "@gantry/kernel";
import type { Firewall } from "./firewall.ts";
import type { PortRule } from "./firewall-rules.ts";
import { FALLBACK_RANGE, hostPort, HostPorts, parsePortRange } from "./host-ports.ts";
import { parseIp } from "./ip.ts";
import { holdTcp, holdUdp, type PortHolder } from "./port-holder.ts";
import type { PortBinding, PortRequest, PublishRequest, RestoredState } from "./port.ts";

const RANGE_FILE = "/proc/sys/net/ipv4/ip_local_port_range";
/** Of a free port, how many are tried that other processes turn out to have. */
const MAX_TRIES = 256;

interface Published { binding: PortBinding; holder: PortHolder | null }
type Target = Pick<PublishRequest, "containerId" | "ip" | "ip6">;

/** Published ports of the host: allocation, sockets, and the firewall's elements. */
export class PublishedPorts {
  readonly #firewall: Firewall;
  readonly #ports = new HostPorts(hostRange());
  readonly #byContainer = new Map<string, Published[]>();

  constructor(firewall: Firewall) {
    this.#firewall = firewall;
  }

  /** Contract: {@link HostNetwork.publish}. */
  async publish(request: PublishRequest): Promise<PortBinding[]> {
    if (this.#byContainer.has(request.containerId)) {
      throw fail("CONFLICT", `ports of container ${request.containerName} are already published`);
    }
    const done: Published[] = [];
    this.#byContainer.set(request.containerId, done);
    try {
      for (const port of request.ports) done.push(...await this.#publishOne(request, port));
      await this.#firewall.addPorts(request.containerId, done.flatMap((p) => rulesOf(request, p.binding)));
    } catch (e) {
      this.#byContainer.delete(request.containerId);
      await this.#close(request.containerId, done);
      if (!isGantryError(e, "CONFLICT") && !isGantryError(e, "INVALID")) throw e;
      throw fail(e.code as "CONFLICT" | "INVALID",
        `driver failed programming external connectivity on endpoint ${request.containerName} (${request.endpointId}): ${e.message}`, { cause: e });
    }
    return done.map((p) => p.binding);
  }

  async unpublish(containerId: string): Promise<void> {
    const list = this.#byContainer.get(containerId);
    if (list === undefined) return;
    this.#byContainer.delete(containerId);
    try {
      await this.#firewall.removePorts(containerId);
    } finally {
      await this.#close(containerId, list);
    }
  }

  /** Ports of containers that run already. Answers the firewall's rules, and what could not be had back. */
  async restore(state: RestoredState["published"]): Promise<{ rules: Map<string, PortRule[]>; problems: string[] }> {
    const rules = new Map<string, PortRule[]>();
    const problems: string[] = [];
    for (const container of state) {
      const list: Published[] = [];
      for (const binding of container.bindings) {
        try {
          this.#ports.take(binding, container.containerId);
        } catch (e) {
          problems.push(`${container.containerName}: ${describeError(e)}`);
          continue;
        }
        const published: Published = { binding, holder: null };
        list.push(published);
        try {
          published.holder = await hold(container, binding);
        } catch (e) {
          // The firewall's part works without; what the socket adds does not.
          problems.push(`${container.containerName}: ${bindError(container, binding, e)}`);
        }
      }
      this.#byContainer.set(container.containerId, list);
      rules.set(container.containerId, list.flatMap((p) => rulesOf(container, p.binding)));
    }
    return { rules, problems };
  }

  /** Closes the sockets; the firewall is the caller's to remove. */
  async closeAll(): Promise<void> {
    const all = [...this.#byContainer];
    this.#byContainer.clear();
    await Promise.all(all.map(([containerId, list]) => this.#close(containerId, list)));
  }

  async #publishOne(request: PublishRequest, port: PortRequest): Promise<Published[]> {
    let refusal: unknown = fail("CONFLICT", "all ports are allocated");
    let tries = 0;
    for (const hostPortNumber of this.#ports.candidates(port)) {
      if (tries++ >= MAX_TRIES) break;
      try {
        return await this.#bind(request, port, hostPortNumber);
      } catch (e) {
        if (!isGantryError(e, "CONFLICT")) throw e;
        refusal = e;
      }
    }
    throw refusal;
  }

  /** One port on each host address that the request stands for; all or none. */
  async #bind(request: PublishRequest, port: PortRequest, number: number): Promise<Published[]> {
    const done: Published[] = [];
    try {
      for (const hostIp of port.hostIp === "" ? ["0.0.0.0", "::"] : [port.hostIp]) {
        if (parseIp(hostIp) === null) throw fail("INVALID", `invalid IP address: ${hostIp}`);
        const binding: PortBinding = { hostIp, hostPort: number, containerPort: port.containerPort, protocol: port.protocol };
        if (port.hostIp === "" && hostIp === "::" && !reachable(request, binding)) continue;
        this.#ports.take(binding, request.containerId);
        const published: Published = { binding, holder: null };
        done.push(published);
        try {
          published.holder = await hold(request, binding);
        } catch (e) {
          const errno = errnoOf(e);
          if (port.hostIp === "" && hostIp === "::" && (errno === "EAFNOSUPPORT" || errno === "EADDRNOTAVAIL")) {
            this.#ports.release(binding, request.containerId);
            done.pop();
            continue;
          }
          throw fail(errno === "EADDRINUSE" ? "CONFLICT" : "INVALID", bindError(request, binding, e), { cause: e });
        }
      }
      return done;
    } catch (e) {
      await this.#close(request.containerId, done);
      throw e;
    }
  }

  async #close(containerId: string, list: readonly Published[]): Promise<void> {
    await Promise.all(list.map(async ({ binding, holder }) => {
      await holder?.close();
      this.#ports.release(binding, containerId);
    }));
  }
}

/** SCTP has no socket of ours to forward with: over IPv6 it needs a container with IPv6. */
function reachable(target: Target, binding: PortBinding): boolean {
  return binding.protocol !== "sctp" || target.ip6 !== null;
}

function hold(target: Target, binding: PortBinding): Promise<PortHolder | null> {
  const to = { hostIp: binding.hostIp, hostPort: binding.hostPort, containerIp: target.ip, containerPort: binding.containerPort };
  if (binding.protocol === "tcp") return holdTcp(to);
  if (binding.protocol === "udp") return holdUdp(to);
  return Promise.resolve(null);
}

/** The firewall's rule, where it can carry the binding: IPv4 always, IPv6 to a container that has it. */
function rulesOf(target: Target, binding: PortBinding): PortRule[] {
  const containerIp = binding.hostIp.includes(":") ? target.ip6 : target.ip;
  return containerIp === null ? [] : [{ ...binding, containerIp }];
}

/** Docker's words: `failed to bind host port for 0.0.0.0:8080:172.17.0.2:80/tcp: address already in use`. */
function bindError(target: Target, binding: PortBinding, e: unknown): string {
  const words: Record<string, string> = {
    EADDRINUSE: "address already in use", EADDRNOTAVAIL: "cannot assign requested address", EACCES: "permission denied",
  };
  const why = words[errnoOf(e) ?? ""] ?? describeError(e);
  return `failed to bind host port for ${hostPort(binding)}:${target.ip}:${binding.containerPort}/${binding.protocol}: ${why}`;
}

function hostRange(): readonly [number, number] {
  try {
    return parsePortRange(readFileSync(RANGE_FILE, "utf8"));
  } catch {
    return FALLBACK_RANGE;
  }
}
