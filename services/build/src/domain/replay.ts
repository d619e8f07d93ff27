import { attemptLine, outputRow, outputText, type BuildMessage, type LogRow } from "./messages.ts";

/** What earlier attempts have told: the last step they came to, and all rows of that step. */
export interface Told {
  readonly step: number;
  readonly rows: readonly LogRow[];
}

type Stream = "stdout" | "stderr";
const STREAMS = ["stdout", "stderr"] as const;

/**
 * The log of an attempt that takes up where a lost one ended, so that a reader of the whole sees no line twice and misses none.
 *
 * - Steps before the last one told: nothing of them is told again.
 * - The last one told is told on: its header and what else was told of it are not repeated. Where its program has to run again, a new
 *   ` ---> Running in <id>` marks that, and of what it writes (each stream by itself) whole lines that are the same as told ones, from
 *   the first on, are left out; from the first line that differs on, everything is told. A line that was cut in the middle is ended, and
 *   told again as a whole.
 * - Everything after it is told as it comes.
 */
export class Replay {
  readonly #step: number;
  /** Rows told that are not output, as text, and how often. */
  readonly #told = new Map<string, number>();
  readonly #lines: Record<Stream, string[]> = { stdout: [], stderr: [] };
  /** The start of a line whose rest has not come yet, while lines are compared. */
  readonly #begun: Record<Stream, string> = { stdout: "", stderr: "" };
  readonly #header: boolean;
  #openLine: boolean;

  constructor({ step, rows }: Told) {
    this.#step = step;
    const text = { stdout: "", stderr: "" };
    for (const row of rows) {
      const own = attemptLine(row);
      // A program that ran again: what the one before left of a line is told.
      if (own === "running") for (const stream of STREAMS) text[stream] = text[stream].slice(0, text[stream].lastIndexOf("\n") + 1);
      if (row.output !== null) text[row.output] += outputText(row);
      else if (own === null) this.#told.set(key(row.message), (this.#told.get(key(row.message)) ?? 0) + 1);
    }
    for (const stream of STREAMS) this.#lines[stream] = text[stream].match(/[^\n]*\n/g) ?? [];
    this.#header = rows.some((row) => attemptLine(row) !== null);
    const last = rows.findLast((row) => row.output !== null || typeof row.message["stream"] === "string");
    this.#openLine = last !== undefined && last.output !== null && !outputText(last).endsWith("\n");
  }

  /** The rows to tell in place of this one. */
  pass(row: LogRow): LogRow[] {
    if (row.step < this.#step) return [];
    if (row.step > this.#step) return this.#tell([...this.#rest(), row]);
    if (row.output !== null) return this.#tell(this.#output(row.output, outputText(row)));
    const before = this.#rest();
    return this.#tell(this.#isTold(row) ? before : [...before, row]);
  }

  #isTold(row: LogRow): boolean {
    const own = attemptLine(row);
    if (own !== null) return own === "cache" && this.#header;
    const count = this.#told.get(key(row.message)) ?? 0;
    if (count > 0) this.#told.set(key(row.message), count - 1);
    return count > 0;
  }

  #output(stream: Stream, text: string): LogRow[] {
    this.#begun[stream] += text;
    const lines = this.#lines[stream];
    while (lines.length > 0) {
      const end = this.#begun[stream].indexOf("\n") + 1;
      if (end === 0) return [];
      if (this.#begun[stream].slice(0, end) === lines[0]) {
        lines.shift();
        this.#begun[stream] = this.#begun[stream].slice(end);
      } else {
        lines.length = 0;
      }
    }
    return this.#take(stream);
  }

  /** What was held back of lines without an end. */
  #rest(): LogRow[] {
    return [...this.#take("stdout"), ...this.#take("stderr")];
  }

  #take(stream: Stream): LogRow[] {
    const text = this.#begun[stream];
    this.#begun[stream] = "";
    return text === "" ? [] : [outputRow(this.#step, stream, text)];
  }

  #tell(rows: LogRow[]): LogRow[] {
    if (rows.length === 0 || !this.#openLine) return rows;
    this.#openLine = false;
    return [{ step: this.#step, output: null, message: { stream: "\n" } }, ...rows];
  }
}

const key = (message: BuildMessage): string => JSON.stringify(message);
