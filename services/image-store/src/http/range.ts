/** Which bytes a `Range: bytes=…` header asks for; `whole` where it asks for none or for more than one range; null: none of them exist. */
export type ByteRange = { readonly offset: number; readonly length: number } | "whole" | null;

/** RFC 9110, one range. A header that does not parse is ignored, as the RFC says. */
export function parseRange(header: string | undefined, size: number): ByteRange {
  const match = header === undefined ? null : /^bytes=(\d*)-(\d*)$/.exec(header.trim());
  if (match === null || (match[1] === "" && match[2] === "")) return "whole";
  if (match[1] === "") {
    const length = Math.min(Number(match[2]), size);
    return length === 0 ? null : { offset: size - length, length };
  }
  const offset = Number(match[1]);
  const last = match[2] === "" ? size - 1 : Math.min(Number(match[2]), size - 1);
  if (match[2] !== "" && Number(match[2]) < offset) return "whole";
  return offset >= size ? null : { offset, length: last - offset + 1 };
}
