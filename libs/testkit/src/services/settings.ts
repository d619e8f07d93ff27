import { readFileSync } from "node:fs";
import path from "node:path";

const INFRA = path.join(import.meta.dirname, "../../../../infra");

/** Where a server's configuration for real lies: servers for tests run with it, as far as their place allows. */
export function infraFile(...names: string[]): string {
  return path.join(INFRA, ...names);
}

/** The `name = value` lines of a configuration file. */
export function settingsOf(file: string): Record<string, string> {
  const lines = readFileSync(file, "utf8").split("\n").map((line) => line.trim()).filter((line) => line !== "" && !line.startsWith("#"));
  return Object.fromEntries(lines.map((line) => {
    const [, name, value] = /^([a-z0-9_.]+)\s*=\s*(.*)$/.exec(line) ?? [];
    if (name === undefined || value === undefined) throw new Error(`${file}: not a setting: ${line}`);
    return [name, value];
  }));
}
