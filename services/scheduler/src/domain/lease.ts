/** What a scheduler that stands by has seen of the active one's lease. Milliseconds of a clock that only goes forward. */
export interface Watch {
  /** Epoch and beat as they were read last. */
  readonly mark: string;
  /** For how long they have been the same. */
  readonly silentMs: number;
  readonly at: number;
}

/**
 * One look at the lease. Only this process' own clock counts, so clocks of hosts need not agree; and a look that comes late (this
 * process was stopped, or starved) counts as no more than two: what happened in between was not seen.
 */
export function look(before: Watch | null, mark: string, now: number, everyMs: number): Watch {
  if (before === null || before.mark !== mark) return { mark, silentMs: 0, at: now };
  return { mark, silentMs: before.silentMs + Math.min(now - before.at, 2 * everyMs), at: now };
}
