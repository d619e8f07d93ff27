import { fail } from "@gantry/contracts";

/** Records of a PAX extended header (POSIX.1-2001 pax): `<length> <key>=<value>\n`. Keys and values are binary strings. */
export type PaxRecords = Map<string, string>;

/** Adds the records in `bytes` to `records`; later ones win, and an empty value takes the key away. */
export function readPax(bytes: Buffer, records: PaxRecords): void {
  let at = 0;
  while (at < bytes.length) {
    const space = bytes.indexOf(0x20, at);
    const length = space < 0 || space - at > 10 ? NaN : Number(bytes.toString("latin1", at, space));
    const end = at + length;
    const equals = bytes.indexOf(0x3d, space + 1);
    if (!Number.isSafeInteger(length) || length <= 0 || end > bytes.length || bytes[end - 1] !== 0x0a || equals < 0 || equals >= end) {
      // Some writers fill the block up with NUL.
      if (bytes.subarray(at).every((byte) => byte === 0)) return;
      throw fail("INVALID", "invalid tar header: malformed PAX record");
    }
    const key = bytes.toString("latin1", space + 1, equals);
    const value = bytes.toString("latin1", equals + 1, end - 1);
    if (value === "" && !key.startsWith(XATTR_PREFIX)) records.delete(key);
    else records.set(key, value);
    at = end;
  }
}

export const XATTR_PREFIX = "SCHILY.xattr.";

export function formatPax(records: PaxRecords): Buffer {
  let text = "";
  for (const [key, value] of records) {
    const rest = key.length + value.length + 3;
    let length = rest + String(rest).length;
    // The length counts its own digits.
    if (rest + String(length).length !== length) length = rest + String(length).length;
    text += `${length} ${key}=${value}\n`;
  }
  return Buffer.from(text, "latin1");
}
