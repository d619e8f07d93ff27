import { readFileSync } from "node:fs";
import os from "node:os";
import { formatCidr, formatIp, parseCidr, parseIp } from "./ip.ts";
import { parseResolvConf } from "./resolv-conf.ts";

/** Subnets, without host bits, that the host uses or reaches: addresses, routes, and its resolvers, which a new network must not hide. */
export function hostSubnets(): string[] {
  const addresses = Object.values(os.networkInterfaces()).flatMap((list) => (list ?? []).flatMap((a) => {
    const cidr = a.cidr === null ? null : parseCidr(a.cidr);
    return cidr === null ? [] : [formatCidr(cidr)];
  }));
  const routes = parseRoutes(readOrEmpty("/proc/self/net/route"));
  const resolvers = parseResolvConf(readOrEmpty("/etc/resolv.conf")).nameservers.flatMap((s) => (parseIp(s)?.bits === 32 ? `${s}/32` : []));
  return [...new Set([...addresses, ...routes, ...resolvers])];
}

/** /proc/net/route: destination and mask are hex in the machine's byte order. The default route is no subnet in use. */
export function parseRoutes(text: string): string[] {
  return text.split("\n").slice(1).flatMap((line) => {
    const [, destination, , , , , , mask] = line.trim().split(/\s+/);
    if (destination === undefined || mask === undefined || !/^[0-9A-F]{8}$/.test(destination + mask.slice(8)) || !/^[0-9A-F]{8}$/.test(mask)) return [];
    const bits = hex(mask).toString(2).replace(/0+$/, "");
    const prefix = bits === "" ? 0 : bits.length;
    return prefix === 0 ? [] : [formatCidr({ bits: 32, base: hex(destination), prefix })];
  });
}

/** Names of all links in this process's network namespace (/sys may show another's). */
export function linkNames(): string[] {
  return readFileSync("/proc/self/net/dev", "utf8").split("\n").flatMap((line) => /^\s*([^\s:]+):/.exec(line)?.[1] ?? []);
}

function hex(text: string): bigint {
  const bytes = Buffer.from(text, "hex");
  return BigInt(os.endianness() === "LE" ? bytes.readUInt32LE(0) : bytes.readUInt32BE(0));
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** The address with a prefix length that an interface gets: `172.17.0.1/16`. */
export function withPrefix(address: string, prefix: number): string {
  const ip = parseIp(address);
  return `${ip === null ? address : formatIp(ip)}/${prefix}`;
}
