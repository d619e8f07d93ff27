import { createHash } from "node:crypto";

/**
 * Names on the host, all ≤ 15 characters (IFNAMSIZ) and all with the instance in them, so that several instances share a host
 * and each can find what is its own.
 */

/** The usual bridge of a network: `gy` + 4 digits of the instance + 8 of the network's ID. */
export function bridgeName(instance: string, networkId: string): string {
  return bridgePrefix(instance) + networkId.slice(0, 8);
}

export function bridgePrefix(instance: string): string {
  return `gy${instance.slice(0, 4)}`;
}

export function vethPrefix(instance: string): string {
  return `gv${instance.slice(0, 4)}`;
}

/** The host's end of a container's veth pair: the same whenever it is asked for. */
export function vethName(instance: string, containerId: string, networkId: string): string {
  return vethPrefix(instance) + createHash("sha256").update(`${containerId}/${networkId}`).digest("hex").slice(0, 8);
}

/** The nft table (in families ip, ip6 and bridge). */
export function tableName(instance: string): string {
  return `gantry_${instance}`;
}
