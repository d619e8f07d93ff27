import { fail } from "@gantry/contracts";

/**
 * A number of a tar header: octal digits amid blanks, or base 256 when the first bit is set (GNU). INVALID for anything else, and
 * for what does not fit 53 bits.
 */
export function readNumber(block: Buffer, offset: number, length: number): number {
  const first = block[offset]!;
  if ((first & 0x80) !== 0) return readBase256(block, offset, length);
  let value = 0;
  let at = offset;
  const end = offset + length;
  while (at < end && (block[at] === 0x20 || block[at] === 0)) at++;
  for (; at < end; at++) {
    const c = block[at]!;
    if (c === 0x20 || c === 0) break;
    if (c < 0x30 || c > 0x37) throw fail("INVALID", "invalid tar header: a number is not octal");
    value = value * 8 + (c - 0x30);
  }
  return value;
}

function readBase256(block: Buffer, offset: number, length: number): number {
  const negative = (block[offset]! & 0x40) !== 0;
  let value = 0;
  for (let i = 0; i < length; i++) {
    let byte = block[offset + i]!;
    if (i === 0) byte &= 0x7f;
    if (i === 0 && negative) byte |= 0x80;
    value = value * 256 + (negative ? 255 - byte : byte);
  }
  if (!Number.isSafeInteger(value)) throw fail("INVALID", "invalid tar header: a number is too large");
  return negative ? -value - 1 : value;
}

/** Writes octal digits, or answers false where the number does not fit them. */
export function writeOctal(block: Buffer, offset: number, length: number, value: number): boolean {
  const digits = value.toString(8);
  if (value < 0 || digits.length >= length) return false;
  block.write(digits.padStart(length - 1, "0"), offset, "latin1");
  return true;
}

/** A PAX time, `seconds[.fraction]`, in nanoseconds. */
export function parseTime(text: string): bigint {
  const match = /^(-?)(\d{1,18})(?:\.(\d*))?$/.exec(text);
  if (match === null) throw fail("INVALID", "invalid tar header: a time is no number");
  const ns = BigInt(match[2]!) * 1_000_000_000n + BigInt((match[3] ?? "").slice(0, 9).padEnd(9, "0"));
  return inTimeRange(match[1] === "-" ? -ns : ns);
}

export function formatTime(ns: bigint): string {
  const positive = ns < 0n ? -ns : ns;
  const fraction = String(positive % 1_000_000_000n).padStart(9, "0").replace(/0+$/, "");
  return `${ns < 0n ? "-" : ""}${positive / 1_000_000_000n}${fraction === "" ? "" : `.${fraction}`}`;
}

const TIME_MAX = 2n ** 63n - 1n;

/** Within 64 bits of nanoseconds, as the kernel's clock; the years 1677 to 2262. */
function inTimeRange(ns: bigint): bigint {
  return ns > TIME_MAX ? TIME_MAX : ns < -TIME_MAX ? -TIME_MAX : ns;
}

export const secondsToNs = (seconds: number): bigint => inTimeRange(BigInt(seconds) * 1_000_000_000n);

/** A PAX number. */
export function parseDecimal(text: string): number {
  const value = Number(text);
  if (!/^\d{1,16}$/.test(text) || !Number.isSafeInteger(value)) throw fail("INVALID", "invalid tar header: a number is not decimal");
  return value;
}
