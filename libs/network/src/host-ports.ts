import { fail } from "@gantry/contracts";
import { parseIp } from "./ip.ts";
import type { PortBinding, PortRequest } from "./port.ts";

/** Which ports of the host are published, and which come next. Pure but for what it remembers. */

type Protocol = PortRequest["protocol"];
interface Held { hostIp: string; containerId: string }

/** Docker's range where the host does not tell its own (RFC 6335's dynamic ports). */
export const FALLBACK_RANGE = [49153, 65535] as const;

/** `/proc/sys/net/ipv4/ip_local_port_range`: two numbers. Docker 28 gives random ports from it. */
export function parsePortRange(text: string): readonly [number, number] {
  const match = /^\s*(\d{1,5})\s+(\d{1,5})\s*$/.exec(text);
  const first = Number(match?.[1]);
  const last = Number(match?.[2]);
  return match !== null && first > 0 && first <= last && last <= 65535 ? [first, last] : FALLBACK_RANGE;
}

export class HostPorts {
  readonly #held = new Map<string, Held[]>();
  readonly #range: readonly [number, number];
  readonly #next = new Map<Protocol, number>();

  constructor(range: readonly [number, number]) {
    this.#range = range;
  }

  /** CONFLICT `Bind for 0.0.0.0:8080 failed: port is already allocated` when a container has it. */
  take(binding: Pick<PortBinding, "hostIp" | "hostPort" | "protocol">, containerId: string): void {
    const key = `${binding.protocol}/${binding.hostPort}`;
    const list = this.#held.get(key) ?? [];
    if (list.some((held) => clash(held.hostIp, binding.hostIp))) {
      throw fail("CONFLICT", `Bind for ${hostPort(binding)} failed: port is already allocated`);
    }
    list.push({ hostIp: binding.hostIp, containerId });
    this.#held.set(key, list);
  }

  release(binding: Pick<PortBinding, "hostIp" | "hostPort" | "protocol">, containerId: string): void {
    const key = `${binding.protocol}/${binding.hostPort}`;
    const rest = (this.#held.get(key) ?? []).filter((held) => held.hostIp !== binding.hostIp || held.containerId !== containerId);
    if (rest.length === 0) this.#held.delete(key);
    else this.#held.set(key, rest);
  }

  /** Ports to try for a request, in order: the one asked for, the range asked for, or the host's range from where it was left. */
  *candidates(request: Pick<PortRequest, "hostPort" | "protocol">): Generator<number> {
    if (typeof request.hostPort !== "number") {
      for (let port = request.hostPort[0]; port <= request.hostPort[1]; port++) yield port;
      return;
    }
    if (request.hostPort !== 0) return yield request.hostPort;
    const [first, last] = this.#range;
    const size = last - first + 1;
    const start = this.#next.get(request.protocol) ?? first;
    for (let i = 0; i < size; i++) {
      const port = first + ((start - first + i) % size);
      this.#next.set(request.protocol, port === last ? first : port + 1);
      yield port;
    }
  }
}

/** `0.0.0.0:8080`, `[::1]:8080`. */
export function hostPort(binding: Pick<PortBinding, "hostIp" | "hostPort">): string {
  return `${binding.hostIp.includes(":") ? `[${binding.hostIp}]` : binding.hostIp}:${binding.hostPort}`;
}

function clash(a: string, b: string): boolean {
  const x = parseIp(a);
  const y = parseIp(b);
  return x !== null && y !== null && x.bits === y.bits && (x.value === y.value || x.value === 0n || y.value === 0n);
}
