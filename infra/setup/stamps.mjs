import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BUILD } from "./paths.mjs";

const fileOf = (name) => join(BUILD, "stamps", name);

/** Whether `value` is what was recorded last: a step of the set-up whose inputs are the same as then is done. Null never is. */
export function isStamped(name, value) {
  try {
    return value !== null && readFileSync(fileOf(name), "utf8") === value;
  } catch (e) {
    if (e.code === "ENOENT") return false;
    throw e;
  }
}

export function stamp(name, value) {
  mkdirSync(join(BUILD, "stamps"), { recursive: true });
  writeFileSync(fileOf(name), value ?? "");
}
