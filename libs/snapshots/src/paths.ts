import { fail } from "@gantry/contracts";
import { shown } from "./tar/entry.ts";

/** Linux's PATH_MAX and NAME_MAX. */
const PATH_MAX = 4095;
const NAME_MAX = 255;

/**
 * The path of an archive's entry relative to the root, without empty components, `.` and `..`; the root itself is empty.
 * INVALID where it leads out of the root or is longer than the kernel takes. Absolute names are taken from the root.
 */
export function cleanPath(name: string): string {
  // Most names are clean already.
  if (name.length <= NAME_MAX && /^[^/\0.][^/\0]*(?:\/[^/\0.][^/\0]*)*\/?$/.test(name)) return name.endsWith("/") ? name.slice(0, -1) : name;
  const parts: string[] = [];
  for (const part of name.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === "..") {
      if (parts.pop() === undefined) throw fail("INVALID", `invalid archive: ${shown(name)} is outside of the root`);
      continue;
    }
    if (part.length > NAME_MAX || part.includes("\0")) throw fail("INVALID", `invalid archive: ${shown(name)} is no name for a file`);
    parts.push(part);
  }
  const path = parts.join("/");
  if (path.length > PATH_MAX) throw fail("INVALID", `invalid archive: ${shown(name)} is too long`);
  return path;
}

export const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf("/")));
export const nameOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1);
/** Of relative paths, either of which may be empty. */
export const joinPath = (a: string, b: string): string => (a === "" ? b : b === "" ? a : `${a}/${b}`);
/** Of text such as a user's path to a binary string, and back. */
export const toBinary = (text: string): string => Buffer.from(text, "utf8").toString("latin1");
export const toText = (binary: string): string => Buffer.from(binary, "latin1").toString("utf8");
export const bytesOf = (binary: string): Buffer => Buffer.from(binary, "latin1");
