import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import type { Golden } from "./golden.ts";

export const GOLDEN_DIR = path.join(import.meta.dirname, "..", "golden");

export function goldenPath(name: string): string {
  return path.join(GOLDEN_DIR, `${name}.json`);
}

export function goldenText(golden: Golden): string {
  return `${JSON.stringify(golden, null, 1)}\n`;
}

/** Every golden copy, by contract name. */
export function readGolden(): ReadonlyMap<string, Golden> {
  const names = readdirSync(GOLDEN_DIR).filter((name) => name.endsWith(".json")).map((name) => name.slice(0, -".json".length));
  return new Map(names.map((name) => [name, JSON.parse(readFileSync(goldenPath(name), "utf8")) as Golden]));
}
