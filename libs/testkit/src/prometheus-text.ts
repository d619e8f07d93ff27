export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface MetricFamily {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly samples: readonly Sample[];
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)/y;

/**
 * Reads Prometheus' text format 0.0.4 (prometheus.io, exposition formats) and throws at what it does not allow: a sample without its
 * family's TYPE or outside of its block, a name or a series twice, buckets that do not grow or do not end in `+Inf` with the count.
 */
export function parsePrometheusText(text: string): Map<string, MetricFamily> {
  if (!text.endsWith("\n")) throw new Error("the last line does not end");
  const families = new Map<string, { name: string; type: string; help: string; samples: Sample[] }>();
  const helps = new Map<string, string>();
  let current: { name: string; type: string; help: string; samples: Sample[] } | null = null;
  for (const line of text.slice(0, -1).split("\n")) {
    if (line === "") continue;
    const comment = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line);
    if (comment !== null) {
      const [, word, name, rest] = comment as unknown as [string, string, string, string];
      if (!NAME.test(name)) throw new Error(`bad name: ${line}`);
      if (word === "HELP") {
        if (helps.has(name)) throw new Error(`a second HELP: ${line}`);
        helps.set(name, rest);
      } else {
        if (families.has(name)) throw new Error(`a second TYPE: ${line}`);
        if (!["counter", "gauge", "histogram", "summary", "untyped"].includes(rest)) throw new Error(`bad type: ${line}`);
        families.set(name, current = { name, type: rest, help: helps.get(name) ?? "", samples: [] });
      }
      continue;
    }
    if (line.startsWith("#")) continue;
    const match = SAMPLE.exec(line);
    if (match === null) throw new Error(`no sample: ${line}`);
    const name = match[1]!;
    if (current === null || !belongs(name, current)) throw new Error(`outside of its family: ${line}`);
    current.samples.push({ name, labels: labelsOf(match[2] ?? "", line), value: numberOf(match[3]!, line) });
  }
  for (const family of families.values()) check(family);
  return families;
}

function belongs(name: string, { name: family, type }: { name: string; type: string }): boolean {
  return type === "histogram" ? [`${family}_bucket`, `${family}_sum`, `${family}_count`].includes(name) : name === family;
}

function labelsOf(text: string, line: string): Record<string, string> {
  const labels: Record<string, string> = {};
  LABEL.lastIndex = 0;
  while (LABEL.lastIndex < text.length) {
    const match = LABEL.exec(text);
    if (match === null) throw new Error(`bad labels: ${line}`);
    if (Object.hasOwn(labels, match[1]!)) throw new Error(`a label twice: ${line}`);
    labels[match[1]!] = match[2]!.replace(/\\(.)/g, (_, c: string) => c === "n" ? "\n" : c);
  }
  return labels;
}

function numberOf(text: string, line: string): number {
  const value = text === "+Inf" ? Infinity : text === "-Inf" ? -Infinity : Number(text);
  if (Number.isNaN(value) && text !== "NaN") throw new Error(`no number: ${line}`);
  return value;
}

function check(family: MetricFamily): void {
  const seen = new Set<string>();
  for (const { name, labels } of family.samples) {
    const series = `${name}${JSON.stringify(Object.entries(labels).toSorted(([a], [b]) => a < b ? -1 : 1))}`;
    if (seen.has(series)) throw new Error(`a series twice: ${series}`);
    seen.add(series);
  }
  if (family.type === "counter" && !family.name.endsWith("_total")) throw new Error(`a counter is not called _total: ${family.name}`);
  if (family.type !== "histogram") return;
  const buckets = Map.groupBy(family.samples.filter(({ name }) => name.endsWith("_bucket")), ({ labels: { le: _, ...rest } }) => JSON.stringify(rest));
  for (const [labels, rows] of buckets) {
    const count = family.samples.find((sample) => sample.name === `${family.name}_count` && JSON.stringify(sample.labels) === labels);
    const bounds = rows.map(({ labels: { le } }) => le === "+Inf" ? Infinity : Number(le));
    if (bounds.at(-1) !== Infinity || bounds.some((bound, i) => i > 0 && bound <= bounds[i - 1]!)) throw new Error(`bounds of ${family.name}${labels} do not grow to +Inf`);
    if (rows.some(({ value }, i) => i > 0 && value < rows[i - 1]!.value) || rows.at(-1)!.value !== count?.value) throw new Error(`buckets of ${family.name}${labels} do not add up`);
  }
}
