import { readdirSync } from "node:fs";
import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import { metric } from "./catalogue.ts";
import { observe } from "./instruments.ts";

/** Begins to measure this process itself; the event loop is watched from now on. */
export function observeProcess(): void {
  observe(metric.processCpu, (observed) => {
    const { user, system } = process.cpuUsage();
    observed(user / 1e6, { "cpu.mode": "user" });
    observed(system / 1e6, { "cpu.mode": "system" });
  });
  observe(metric.processMemory, (observed) => observed(process.memoryUsage.rss(), {}));
  observe(metric.processUptime, (observed) => observed(process.uptime(), {}));
  observe(metric.openFiles, (observed) => observed(readdirSync("/proc/self/fd").length, {}));
  observe(metric.heapUsed, (observed) => observed(process.memoryUsage().heapUsed, {}));

  const read = eventLoop();
  observe(metric.eventLoopDelay, (observed) => {
    for (const [quantile, seconds] of read().late) observed(seconds, { quantile });
  });
  observe(metric.eventLoopUtilization, (observed) => observed(read().utilization, {}));
}

const QUANTILES = ["0.5", "0.9", "0.99", "1"] as const;
type Late = readonly [(typeof QUANTILES)[number], number];
interface Reading { readonly late: readonly Late[]; readonly utilization: number }

const TICK_MS = 20;
/** Readings that come closer together than this get the same answer: several collectors must not take from each other. */
const WINDOW_MS = 5_000;

function eventLoop(): () => Reading {
  const delay = monitorEventLoopDelay({ resolution: TICK_MS });
  delay.enable();
  let before = performance.eventLoopUtilization();
  let readAt = Number.NEGATIVE_INFINITY;
  let last: Reading = { late: [], utilization: 0 };
  return () => {
    if (performance.now() - readAt < WINDOW_MS) return last;
    readAt = performance.now();
    // The histogram holds the intervals of its own timer.
    const late = (quantile: string) => delay.count === 0 ? 0 : Math.max(0, (quantile === "1" ? delay.max : delay.percentile(Number(quantile) * 100)) / 1e9 - TICK_MS / 1e3);
    const now = performance.eventLoopUtilization();
    last = { late: QUANTILES.map((quantile) => [quantile, late(quantile)] as const), utilization: performance.eventLoopUtilization(now, before).utilization };
    before = now;
    delay.reset();
    return last;
  };
}
