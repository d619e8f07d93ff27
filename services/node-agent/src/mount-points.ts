import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "@gantry/kernel";

/** Docker's init layer: what is mounted over in every container, and the file by which programs know that they are in one. Answers `dir`. */
export function makeMountPoints(dir: string): string {
  for (const sub of ["etc", "dev", "proc", "sys"]) mkdirSync(join(dir, sub), { recursive: true, mode: 0o755 });
  for (const file of ["etc/hosts", "etc/hostname", "etc/resolv.conf", ".dockerenv"]) writeFileSync(join(dir, file), "");
  try {
    symlinkSync("/proc/mounts", join(dir, "etc/mtab"));
  } catch (e) {
    if (errnoOf(e) !== "EEXIST") throw e;
  }
  return dir;
}
