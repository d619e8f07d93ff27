import { parseIp } from "../ip.ts";
import type { DnsRecord } from "../port.ts";

/** What the host knows of a network for DNS. */
export interface ZoneNetwork { name: string; internal: boolean }

interface Holder { containerId: string; ip: string; ip6: string | null; primary: string }

/** An answer from the zone: addresses of a known name (maybe none of the family asked for). */
export interface Addresses { ip: string[]; ip6: string[] }

/**
 * Names of containers on the networks of this host, and who may see them: a container sees the names on the networks it is on.
 * In memory, no I/O.
 */
export class Zone {
  readonly #networks = new Map<string, ZoneNetwork>();
  /** network → lower-case name → containers that have it, in order of registration. */
  readonly #names = new Map<string, Map<string, Holder[]>>();
  readonly #containers = new Map<string, readonly DnsRecord[]>();
  #turn = 0;

  setNetwork(networkId: string, network: ZoneNetwork): void {
    this.#networks.set(networkId, network);
  }

  removeNetwork(networkId: string): void {
    this.#networks.delete(networkId);
  }

  register(containerId: string, records: readonly DnsRecord[]): void {
    this.unregister(containerId);
    this.#containers.set(containerId, records);
    for (const record of records) {
      const names = this.#names.get(record.networkId) ?? new Map<string, Holder[]>();
      this.#names.set(record.networkId, names);
      const holder: Holder = { containerId, ip: record.ip, ip6: record.ip6, primary: record.names[0] ?? containerId.slice(0, 12) };
      for (const name of new Set(record.names.map((n) => n.toLowerCase()))) {
        const holders = names.get(name);
        if (holders === undefined) names.set(name, [holder]);
        else holders.push(holder);
      }
    }
  }

  unregister(containerId: string): void {
    for (const record of this.#containers.get(containerId) ?? []) {
      const names = this.#names.get(record.networkId);
      if (names === undefined) continue;
      for (const name of new Set(record.names.map((n) => n.toLowerCase()))) {
        const rest = (names.get(name) ?? []).filter((h) => h.containerId !== containerId);
        if (rest.length === 0) names.delete(name);
        else names.set(name, rest);
      }
      if (names.size === 0) this.#names.delete(record.networkId);
    }
    this.#containers.delete(containerId);
  }

  /**
   * Addresses of `name` as the container sees it: on the first of its networks that knows the name, which may also be given as
   * `name.network`. Several containers with one name take turns at the front. Null: not ours.
   */
  resolve(containerId: string, name: string): Addresses | null {
    const wanted = name.toLowerCase();
    return this.#find(containerId, wanted, null) ?? this.#findQualified(containerId, wanted);
  }

  /** The name of an address, `container.network`, as the container sees it; null: not ours. */
  reverse(containerId: string, address: string): string | null {
    const ip = parseIp(address);
    if (ip === null) return null;
    for (const { networkId } of this.#containers.get(containerId) ?? []) {
      for (const holders of this.#names.get(networkId)?.values() ?? []) {
        const holder = holders.find((h) => same(h.ip, ip.value, ip.bits) || (h.ip6 !== null && same(h.ip6, ip.value, ip.bits)));
        if (holder !== undefined) return `${holder.primary}.${this.#networks.get(networkId)?.name ?? "network"}`;
      }
    }
    return null;
  }

  /** Whether questions of this container may leave the host: not when it is on internal networks alone. */
  mayForward(containerId: string): boolean {
    const records = this.#containers.get(containerId) ?? [];
    return records.length === 0 || records.some((r) => this.#networks.get(r.networkId)?.internal !== true);
  }

  #find(containerId: string, name: string, network: string | null): Addresses | null {
    for (const { networkId } of this.#containers.get(containerId) ?? []) {
      if (network !== null && this.#networks.get(networkId)?.name.toLowerCase() !== network) continue;
      const holders = this.#names.get(networkId)?.get(name);
      if (holders === undefined) continue;
      const first = this.#turn++ % holders.length;
      const turned = [...holders.slice(first), ...holders.slice(0, first)];
      return { ip: turned.map((h) => h.ip), ip6: turned.flatMap((h) => h.ip6 ?? []) };
    }
    return null;
  }

  #findQualified(containerId: string, name: string): Addresses | null {
    const dot = name.lastIndexOf(".");
    return dot <= 0 ? null : this.#find(containerId, name.slice(0, dot), name.slice(dot + 1));
  }
}

function same(text: string, value: bigint, bits: number): boolean {
  const ip = parseIp(text);
  return ip !== null && ip.value === value && ip.bits === bits;
}
