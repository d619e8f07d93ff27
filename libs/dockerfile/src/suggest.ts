/** Edits (insert, delete, replace, swap of neighbours) that turn `a` into `b`. */
function distance(a: string, b: string): number {
  const rows = Array.from({ length: a.length + 1 }, (_, i) => {
    const row = Array.from({ length: b.length + 1 }, () => 0);
    row[0] = i;
    return row;
  });
  for (let j = 0; j <= b.length; j++) rows[0]![j] = j;
  for (let i = 1; i <= a.length; i++) {
    for (let j = 1; j <= b.length; j++) {
      const replace = rows[i - 1]![j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      let best = Math.min(rows[i - 1]![j]! + 1, rows[i]![j - 1]! + 1, replace);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) best = Math.min(best, rows[i - 2]![j - 2]! + 1);
      rows[i]![j] = best;
    }
  }
  return rows[a.length]![b.length]!;
}

/** ` (did you mean RUN?)`, or nothing when no option is close. Long words are never compared. */
export function didYouMean(word: string, options: readonly string[]): string {
  if (word.length > 40) return "";
  let best: string | null = null;
  let bestDistance = Math.min(3, word.length);
  for (const option of options) {
    const d = distance(word.toLowerCase(), option.toLowerCase());
    if (d > 0 && d < bestDistance) { best = option; bestDistance = d; }
  }
  return best === null ? "" : ` (did you mean ${best}?)`;
}
