import { fail } from "@gantry/contracts";
import { contains, formatIp, lastOf, parseCidr, parseIp, type Cidr, type Ip } from "./ip.ts";

/**
 * Addresses of one subnet, in memory: the lowest free one is given, as Docker does. The first address (the network's) and, for
 * IPv4, the last (broadcast) are never given, nor is the gateway.
 */
export class AddressAllocator {
  readonly #subnet: Cidr;
  readonly #range: Cidr;
  readonly #text: string;
  readonly #reserved: Set<bigint>;
  readonly #owners = new Map<bigint, string>();
  /** No address of the range below this one is free. */
  #lowest: bigint;

  /** `range` narrows what is chosen from, not what may be asked for. */
  constructor(subnet: string, options: { gateway: string; range: string | null }) {
    const cidr = parseCidr(subnet);
    const range = options.range === null ? cidr : parseCidr(options.range);
    const gateway = parseIp(options.gateway);
    if (cidr === null) throw fail("INVALID", `invalid subnet ${subnet}`);
    if (range === null || range.bits !== cidr.bits || range.base < cidr.base || lastOf(range) > lastOf(cidr)) {
      throw fail("INVALID", `invalid IP range ${options.range}: it is not within ${subnet}`);
    }
    if (gateway === null || !contains(cidr, gateway)) throw fail("INVALID", `no matching subnet for gateway ${options.gateway}`);
    this.#subnet = cidr;
    this.#range = range;
    this.#text = subnet;
    this.#reserved = new Set([gateway.value]);
    if (cidr.prefix < cidr.bits - 1) {
      this.#reserved.add(cidr.base);
      if (cidr.bits === 32) this.#reserved.add(lastOf(cidr));
    }
    this.#lowest = range.base;
  }

  get prefix(): number {
    return this.#subnet.prefix;
  }

  get count(): number {
    return this.#owners.size;
  }

  /** An address for `owner`: `wanted`, or the lowest free. Errors as {@link HostNetwork.allocate}. */
  take(owner: string, wanted: string | null): string {
    const value = wanted === null ? this.#next() : this.#checked(wanted).value;
    const before = this.#owners.get(value);
    if (this.#reserved.has(value) || (before !== undefined && before !== owner)) throw fail("CONFLICT", "Address already in use");
    this.#owners.set(value, owner);
    return formatIp({ bits: this.#subnet.bits, value });
  }

  /** Frees an address when it is `owner`'s. */
  free(owner: string, address: string): void {
    const ip = parseIp(address);
    if (ip === null || this.#owners.get(ip.value) !== owner) return;
    this.#owners.delete(ip.value);
    if (ip.value < this.#lowest && ip.value >= this.#range.base) this.#lowest = ip.value;
  }

  #next(): bigint {
    const end = lastOf(this.#range);
    let at = this.#lowest;
    while (at <= end && (this.#reserved.has(at) || this.#owners.has(at))) at++;
    this.#lowest = at;
    if (at > end) throw fail("UNAVAILABLE", `no available IPv${this.#subnet.bits === 32 ? 4 : 6} addresses on this network's address pools: ${this.#text}`);
    return at;
  }

  #checked(text: string): Ip {
    const ip = parseIp(text);
    if (ip === null) throw fail("INVALID", `invalid IP address: ${text}`);
    if (!contains(this.#subnet, ip)) {
      throw fail("INVALID", `no configured subnet or ip-range contain the IP address ${text}`);
    }
    return ip;
  }
}

/** Docker's MAC for an IPv4 address: 172.17.0.2 → 02:42:ac:11:00:02. */
export function macOf(ip: string): string {
  const parsed = parseIp(ip);
  if (parsed === null || parsed.bits !== 32) throw fail("INVALID", `invalid IPv4 address: ${ip}`);
  const hex = parsed.value.toString(16).padStart(8, "0");
  return `02:42:${hex.slice(0, 2)}:${hex.slice(2, 4)}:${hex.slice(4, 6)}:${hex.slice(6, 8)}`;
}

/** Lower-case `aa:bb:cc:dd:ee:ff` of what a user wrote; INVALID for anything else and for multicast and zero addresses. */
export function parseMac(text: string): string {
  const mac = text.toLowerCase().replaceAll("-", ":");
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(mac) || Number.parseInt(mac.slice(0, 2), 16) % 2 === 1 || mac === "00:00:00:00:00:00") {
    throw fail("INVALID", `invalid MAC address: ${text}`);
  }
  return mac;
}
