import ipaddr from "ipaddr.js";

/** An address as a number, with its family's width: 32 or 128 bits. */
export interface Ip {
  bits: 32 | 128;
  value: bigint;
}

/** A subnet: `base` has its host bits zero. */
export interface Cidr {
  bits: 32 | 128;
  base: bigint;
  prefix: number;
}

/** The address, or null when the text is none. Only full dotted IPv4 and IPv6 without zone. */
export function parseIp(text: string): Ip | null {
  if (text.length > 45) return null;
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return fromBytes(ipaddr.IPv4.parse(text).toByteArray(), 32);
  if (!text.includes(":") || text.includes("%") || !ipaddr.IPv6.isValid(text)) return null;
  return fromBytes(ipaddr.IPv6.parse(text).toByteArray(), 128);
}

/** The subnet, or null. Host bits are dropped: 172.17.0.1/16 is 172.17.0.0/16. */
export function parseCidr(text: string): Cidr | null {
  const slash = text.indexOf("/");
  const ip = slash < 0 ? null : parseIp(text.slice(0, slash));
  const length = text.slice(slash + 1);
  if (ip === null || !/^\d{1,3}$/.test(length) || Number(length) > ip.bits) return null;
  const prefix = Number(length);
  const host = hostMask(ip.bits, prefix);
  return { bits: ip.bits, base: ip.value & ~host, prefix };
}

/** Canonical text: dotted, or RFC 5952. */
export function formatIp(ip: Ip): string {
  const bytes: number[] = [];
  for (let shift = BigInt(ip.bits) - 8n; shift >= 0n; shift -= 8n) bytes.push(Number((ip.value >> shift) & 0xffn));
  return ip.bits === 32 ? bytes.join(".") : new ipaddr.IPv6(bytes).toRFC5952String();
}

export function formatCidr(cidr: Cidr): string {
  return `${formatIp({ bits: cidr.bits, value: cidr.base })}/${cidr.prefix}`;
}

/** The last address: broadcast, for IPv4. */
export function lastOf(cidr: Cidr): bigint {
  return cidr.base | hostMask(cidr.bits, cidr.prefix);
}

export function contains(cidr: Cidr, ip: Ip): boolean {
  return ip.bits === cidr.bits && ip.value >= cidr.base && ip.value <= lastOf(cidr);
}

export function overlaps(a: Cidr, b: Cidr): boolean {
  return a.bits === b.bits && a.base <= lastOf(b) && b.base <= lastOf(a);
}

export function isLoopback(text: string): boolean {
  const ip = parseIp(text);
  return ip !== null && (ip.bits === 32 ? ip.value >> 24n === 127n : ip.value === 1n);
}

function hostMask(bits: number, prefix: number): bigint {
  return (1n << BigInt(bits - prefix)) - 1n;
}

function fromBytes(bytes: readonly number[], bits: 32 | 128): Ip {
  return { bits, value: bytes.reduce((n, byte) => (n << 8n) | BigInt(byte), 0n) };
}
