/** Time as a dependency: domain code takes it as an argument, tests pass a fake. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Nanoseconds since the epoch, for Docker's `timeNano` and log timestamps. */
  nowNano(): bigint;
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

const originNano = BigInt(Math.round(performance.timeOrigin * 1e6));

export const systemClock: Clock = {
  now: () => Date.now(),
  nowNano: () => originNano + BigInt(Math.round(performance.now() * 1e6)),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const timer = setTimeout(done, ms);
      const abort = () => { clearTimeout(timer); reject(signal!.reason); };
      function done() { signal?.removeEventListener("abort", abort); resolve(); }
      signal?.addEventListener("abort", abort, { once: true });
    }),
};

/** RFC 3339 with nanoseconds, as Docker prints times (`2026-11-24T04:16:29.123456789Z`). */
export function rfc3339Nano(nano: bigint): string {
  const ms = Number(nano / 1_000_000n);
  const frac = String(nano % 1_000_000_000n).padStart(9, "0").replace(/0+$/, "");
  return new Date(ms).toISOString().slice(0, 19) + (frac === "" ? "Z" : `.${frac}Z`);
}

/** Docker's zero time, for containers that never started or finished. */
export const ZERO_TIME = "0001-01-01T00:00:00Z";
