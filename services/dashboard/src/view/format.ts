import type { ContainerRow, PortRow } from "../live/rows.ts";

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** Bytes as `1.5 GiB`. */
export function bytes(count: number): string {
  let unit = 0;
  let value = count;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

/** A span of milliseconds as `12 s`, `3 min 5 s`, `2 h 4 min`, `3 d`. */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return seconds % 60 === 0 ? `${minutes} min` : `${minutes} min ${seconds % 60} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d`;
}

/** Docker's PORTS column. */
export function ports(rows: readonly PortRow[]): string {
  return rows.map(({ ip, privatePort, publicPort, type }) =>
    (publicPort === null ? `${privatePort}/${type}` : `${ip.includes(":") ? `[${ip}]` : ip}:${publicPort}->${privatePort}/${type}`)).join(", ");
}

export const shortId = (id: string): string => id.replace(/^sha256:/, "").slice(0, 12);

/** What a state means now: since when it runs, its health, or how it ended. */
export function status(row: Pick<ContainerRow, "state" | "since" | "health" | "exitCode">, now: number): string {
  if (row.since === null) return "";
  const span = duration(now - row.since);
  if (row.exitCode !== null) return `exit code ${row.exitCode}, ${span} ago`;
  return row.health === null ? `for ${span}` : `for ${span}, ${row.health}`;
}
