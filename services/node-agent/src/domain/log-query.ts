import { fail } from "@gantry/contracts";

export interface LogQuery {
  readonly stdout: boolean;
  readonly stderr: boolean;
  /** Lines from the end; null: all. */
  readonly tail: number | null;
  /** Nanoseconds since the epoch. */
  readonly since: bigint | null;
  readonly until: bigint | null;
  readonly timestamps: boolean;
  readonly details: boolean;
}

/** Docker's times: `seconds[.nanoseconds]`; 0 and nothing mean none. */
export function parseLogTime(text: string | null, name: string): bigint | null {
  if (text === null || text === "" || text === "0") return null;
  const match = /^(\d{1,12})(?:\.(\d{1,9}))?$/.exec(text);
  if (!match) {
    const ms = Date.parse(text);
    if (Number.isNaN(ms)) throw fail("INVALID", `invalid value for "${name}": ${text}`);
    return BigInt(ms) * 1_000_000n;
  }
  return BigInt(match[1]!) * 1_000_000_000n + BigInt((match[2] ?? "").padEnd(9, "0"));
}

/** `all`, nothing or a negative number: everything, as Docker's. */
export function parseTail(text: string | null): number | null {
  if (text === null || text === "" || text === "all") return null;
  const lines = Number(text);
  return Number.isInteger(lines) && lines >= 0 ? lines : null;
}
