/** Compares RFC 3339 times in UTC whose fractions have up to nine digits, as Docker prints them: text order does not do. */
export function compareTimes(a: string, b: string): number {
  const [left, right] = [sortable(a), sortable(b)];
  return left < right ? -1 : left > right ? 1 : 0;
}

function sortable(time: string): string {
  return time.slice(0, 19) + (time[19] === "." ? time.slice(20, -1) : "").padEnd(9, "0");
}
