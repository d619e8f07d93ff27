/** Text tables as docker prints them: columns three spaces apart, the last not padded. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, i) => Math.max(title.length, ...rows.map((row) => (row[i] ?? "").length)));
  return [header, ...rows]
    .map((row) => row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i]! + 3))).join("").trimEnd() + "\n")
    .join("");
}

/** Decimal units with up to four digits, as `docker images`: `29B`, `553kB`, `1.19GB`. */
export function humanSize(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let at = 0;
  let value = bytes;
  while (value >= 1000 && at < units.length - 1) {
    value /= 1000;
    at += 1;
  }
  return `${Number(value.toPrecision(3))}${units[at]}`;
}

const STEPS: readonly (readonly [limit: number, unit: number, name: string])[] = [
  [60, 1, "second"], [3600, 60, "minute"], [48 * 3600, 3600, "hour"], [14 * 86400, 86400, "day"],
  [2 * 30 * 86400, 7 * 86400, "week"], [2 * 365 * 86400, 30 * 86400, "month"], [Infinity, 365 * 86400, "year"],
];

/** `5 minutes ago`, in docker's steps and words. `seconds` is an age. */
export function ago(seconds: number): string {
  if (seconds < 1) return "Less than a second ago";
  if (seconds >= 60 && seconds < 120) return "About a minute ago";
  if (seconds >= 3600 && seconds < 7200) return "About an hour ago";
  const [, unit, name] = STEPS.find(([limit]) => seconds < limit)!;
  const count = Math.floor(seconds / unit);
  return `${count} ${name}${count === 1 ? "" : "s"} ago`;
}

/** Cuts at `length` with docker's one-character ellipsis. */
export function ellipsis(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}
