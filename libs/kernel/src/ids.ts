import { randomBytes } from "node:crypto";

/** 64 lower-case hex digits, as Docker gives to containers, networks and execs. */
export function newId(): string {
  return randomBytes(32).toString("hex");
}

/** The 12 digits that Docker shows. Accepts `sha256:…` digests too. */
export function shortId(id: string): string {
  return id.replace(/^sha256:/, "").slice(0, 12);
}
