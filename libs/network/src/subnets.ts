import { createHash } from "node:crypto";
import { fail } from "@gantry/contracts";
import { formatCidr, formatIp, overlaps, parseCidr, type Cidr } from "./ip.ts";

/** Pure: which subnets networks get. No I/O, so that the scheduler may use it too. */

/** A range of addresses that is cut into subnets of one size. */
export interface AddressPool {
  base: string;
  size: number;
}

/** Docker's default-address-pools: 172.17.0.0/16 to 172.31.0.0/16, then 192.168.0.0/20 to 192.168.240.0/20. */
export const DEFAULT_POOLS: readonly AddressPool[] = [
  { base: "172.17.0.0/16", size: 16 },
  { base: "172.18.0.0/16", size: 16 },
  { base: "172.19.0.0/16", size: 16 },
  { base: "172.20.0.0/14", size: 16 },
  { base: "172.24.0.0/14", size: 16 },
  { base: "172.28.0.0/14", size: 16 },
  { base: "192.168.0.0/16", size: 20 },
];

/**
 * The first subnet of the pools that overlaps none of `used` (subnets of any size, IPv4 or IPv6; what is no subnet is ignored).
 * INVALID, in Docker's words, when there is none.
 */
export function pickSubnet(used: readonly string[], pools: readonly AddressPool[] = DEFAULT_POOLS): string {
  const taken = used.map(parseCidr).filter((c) => c !== null);
  for (const pool of pools) {
    const range = parseCidr(pool.base);
    if (range === null || pool.size < range.prefix || pool.size > range.bits) {
      throw fail("INVALID", `invalid address pool ${pool.base} of size ${pool.size}`);
    }
    const step = 1n << BigInt(range.bits - pool.size);
    const end = range.base + (1n << BigInt(range.bits - range.prefix));
    let base = range.base;
    while (base < end) {
      const candidate: Cidr = { bits: range.bits, base, prefix: pool.size };
      const clash = taken.find((c) => overlaps(c, candidate));
      if (clash === undefined) return formatCidr(candidate);
      // Past the end of what is in the way: a /8 in use costs one step, not thousands.
      const after = clash.base + (1n << BigInt(clash.bits - clash.prefix));
      base = after > base + step ? range.base + ((after - range.base + step - 1n) / step) * step : base + step;
    }
  }
  throw fail("INVALID", "all predefined address pools have been fully subnetted");
}

/** A pool of IPv6 /64 subnets: a unique local prefix (RFC 4193) whose 40 random bits come from `seed`, such as a network's ID. */
export function ulaPool(seed: string): AddressPool {
  const id = createHash("sha256").update(seed).digest("hex");
  return { base: `fd${id.slice(0, 2)}:${id.slice(2, 6)}:${id.slice(6, 10)}::/48`, size: 64 };
}

/** The gateway Docker gives a subnet: its first address. */
export function defaultGateway(subnet: string): string {
  const cidr = parseCidr(subnet);
  if (cidr === null) throw fail("INVALID", `invalid subnet ${subnet}`);
  return formatIp({ bits: cidr.bits, value: cidr.base + 1n });
}

/** Whether two subnets share an address; false for what is no subnet. */
export function subnetsOverlap(a: string, b: string): boolean {
  const x = parseCidr(a);
  const y = parseCidr(b);
  return x !== null && y !== null && overlaps(x, y);
}
