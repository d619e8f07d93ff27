import { fail } from "@gantry/contracts";
import { BLOCK, padding, type TarEntry, type TarType } from "./entry.ts";
import { formatTime, readNumber, secondsToNs, writeOctal } from "./numbers.ts";
import { formatPax, XATTR_PREFIX, type PaxRecords } from "./pax.ts";

/** What a header block says by itself, before extended headers are applied. */
export interface RawHeader {
  typeflag: string;
  name: string;
  linkName: string;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  mtimeNs: bigint;
  major: number;
  minor: number;
}

/** Reads a header of the formats V7, ustar, PAX and GNU. null for a block of zeros. INVALID for anything else. */
export function readHeader(block: Buffer): RawHeader | null {
  let sum = 8 * 0x20;
  let signed = 8 * 0x20;
  for (let i = 0; i < BLOCK; i++) {
    if (i >= 148 && i < 156) continue;
    const byte = block[i]!;
    sum += byte;
    signed += byte > 127 ? byte - 256 : byte;
  }
  if (sum === 256 && block.every((byte) => byte === 0)) return null;
  const check = readNumber(block, 148, 8);
  if (check !== sum && check !== signed) throw fail("INVALID", "invalid tar header: wrong checksum");
  const ustar = block.toString("latin1", 257, 263) === "ustar\0";
  const gnu = block.toString("latin1", 257, 265) === "ustar  \0";
  const prefix = ustar ? text(block, 345, 155) : "";
  const name = text(block, 0, 100);
  return {
    typeflag: String.fromCharCode(block[156]!),
    name: prefix === "" ? name : `${prefix}/${name}`,
    linkName: text(block, 157, 100),
    mode: readNumber(block, 100, 8) & 0o7777,
    uid: readNumber(block, 108, 8),
    gid: readNumber(block, 116, 8),
    size: readNumber(block, 124, 12),
    mtimeNs: secondsToNs(readNumber(block, 136, 12)),
    major: ustar || gnu ? readNumber(block, 329, 8) : 0,
    minor: ustar || gnu ? readNumber(block, 337, 8) : 0,
  };
}

function text(block: Buffer, offset: number, length: number): string {
  const end = block.indexOf(0, offset);
  return block.toString("latin1", offset, end < 0 || end > offset + length ? offset + length : end);
}

const TYPEFLAG: Record<TarType, string> = { file: "0", link: "1", symlink: "2", char: "3", block: "4", directory: "5", fifo: "6" };

/**
 * The header blocks of an entry: ustar, with a PAX header before it for what ustar cannot hold (long or non-ASCII names, big
 * numbers, fractions of a second, attributes). The same entry always gives the same bytes.
 */
export function formatHeader(entry: TarEntry): Buffer {
  const block = Buffer.alloc(BLOCK);
  const pax: PaxRecords = new Map();
  const name = entry.type === "directory" && !entry.name.endsWith("/") ? `${entry.name}/` : entry.name;
  const split = splitName(name);
  if (split === null) pax.set("path", name);
  block.write(split?.name ?? name.slice(0, 100), 0, 100, "latin1");
  block.write(split?.prefix ?? "", 345, 155, "latin1");
  if (entry.linkName.length > 100 || !ascii(entry.linkName)) pax.set("linkpath", entry.linkName);
  block.write(entry.linkName.slice(0, 100), 157, 100, "latin1");
  writeOctal(block, 100, 8, entry.mode & 0o7777);
  const number = (key: string, offset: number, length: number, value: number): void => {
    if (!writeOctal(block, offset, length, value)) {
      pax.set(key, String(value));
      writeOctal(block, offset, length, 0);
    }
  };
  number("uid", 108, 8, entry.uid);
  number("gid", 116, 8, entry.gid);
  number("size", 124, 12, entry.size);
  const whole = entry.mtimeNs >= 0n && entry.mtimeNs % 1_000_000_000n === 0n;
  if (!whole || !writeOctal(block, 136, 12, Number(entry.mtimeNs / 1_000_000_000n))) {
    pax.set("mtime", formatTime(entry.mtimeNs));
    writeOctal(block, 136, 12, Math.max(0, Number(entry.mtimeNs / 1_000_000_000n)));
  }
  if (entry.type === "char" || entry.type === "block") {
    number("SCHILY.devmajor", 329, 8, entry.major);
    number("SCHILY.devminor", 337, 8, entry.minor);
  }
  for (const xattr of entry.xattrs) pax.set(XATTR_PREFIX + xattr.name, xattr.value.toString("latin1"));
  finish(block, TYPEFLAG[entry.type]);
  return pax.size === 0 ? block : Buffer.concat([paxHeader(pax), block]);
}

function paxHeader(pax: PaxRecords): Buffer {
  const records = formatPax(pax);
  const block = Buffer.alloc(BLOCK);
  block.write("PaxHeaders.0/entry", 0, "latin1");
  for (const [offset, length, value] of [[100, 8, 0o644], [108, 8, 0], [116, 8, 0], [124, 12, records.length], [136, 12, 0]] as const) {
    writeOctal(block, offset, length, value);
  }
  finish(block, "x");
  return Buffer.concat([block, records, Buffer.alloc(padding(records.length))]);
}

function finish(block: Buffer, typeflag: string): void {
  block.write(typeflag, 156, "latin1");
  block.write("ustar\x0000", 257, "latin1");
  block.fill(0x20, 148, 156);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
}

/** A name in ustar's two fields, or null where they cannot hold it. */
function splitName(name: string): { name: string; prefix: string } | null {
  if (!ascii(name)) return null;
  if (name.length <= 100) return { name, prefix: "" };
  if (name.length > 256) return null;
  // A slash with at most 155 characters before it and 1 to 100 behind.
  const slash = name.indexOf("/", name.length - 101);
  if (slash <= 0 || slash > 155 || slash === name.length - 1) return null;
  return { prefix: name.slice(0, slash), name: name.slice(slash + 1) };
}

// oxlint-disable-next-line no-control-regex
const ascii = (s: string): boolean => /^[\x01-\x7f]*$/.test(s);
