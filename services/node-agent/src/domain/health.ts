import type { HealthConfig } from "@gantry/contracts";

/** Docker's State.Health. */
export interface Health { Status: "starting" | "healthy" | "unhealthy"; FailingStreak: number; Log: HealthResult[] }
export interface HealthResult { Start: string; End: string; ExitCode: number; Output: string }

const KEPT_RESULTS = 5;
const or = (nano: number, otherwise: number) => (nano > 0 ? nano / 1e6 : otherwise);

/** Milliseconds to the next check: StartInterval while the start period lasts, Interval afterwards. */
export function intervalOf(config: HealthConfig, status: Health["Status"], upMs: number): number {
  const starting = status === "starting" && upMs < or(config.StartPeriod, 0);
  return starting ? or(config.StartInterval, 5_000) : or(config.Interval, 30_000);
}

export const timeoutOf = (config: HealthConfig) => or(config.Timeout, 30_000);

export function probeCommand(config: HealthConfig, shell: readonly string[] | null): string[] {
  const [kind, ...words] = config.Test;
  return kind === "CMD-SHELL" ? [...(shell ?? ["/bin/sh", "-c"]), words.join(" ")] : words;
}

/** Docker's rule: a success is healthy; failures count unless the start period lasts; as many as Retries are unhealthy. */
export function afterProbe(config: HealthConfig, before: Health, result: HealthResult, upMs: number): Health {
  const log = [...before.Log, result].slice(-KEPT_RESULTS);
  if (result.ExitCode === 0) return { Status: "healthy", FailingStreak: 0, Log: log };
  if (before.Status === "starting" && upMs < or(config.StartPeriod, 0)) return { ...before, Log: log };
  const streak = before.FailingStreak + 1;
  return { Status: streak >= (config.Retries || 3) ? "unhealthy" : before.Status, FailingStreak: streak, Log: log };
}
