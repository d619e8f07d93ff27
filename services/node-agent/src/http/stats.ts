import { readFile } from "node:fs/promises";
import { cpus, totalmem } from "node:os";
import { once } from "node:events";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { rfc3339Nano } from "@gantry/kernel";
import { cgroupDirectory, cgroupLayout, type CgroupController, type CgroupLayout } from "@gantry/runtime";
import { entryOf, type Agent } from "../context.ts";
import { cgroupPath } from "../spec/resources.ts";
import { blkioBytes, ioStat, keyed, netDev, statsBody, systemCpu, type Sample } from "../domain/stats.ts";
import type { Entry } from "../model.ts";

const INTERVAL_MS = 1_000;
/** v1's "no limit". */
const NO_LIMIT = 2 ** 62;

async function sample(agent: Agent, entry: Entry, layout: CgroupLayout): Promise<Sample | null> {
  const { running } = entry;
  if (!running) return null;
  const path = cgroupPath(entry.spec.hostConfig, agent.cgroupParent, entry.id);
  const read = async (controller: CgroupController, file: string) => {
    const dir = cgroupDirectory(layout, controller, path);
    return dir === null ? null : readFile(join(dir, file), "utf8").catch(() => null);
  };
  const shared = entry.spec.hostConfig.NetworkMode;
  const [cpu, memory, pids, blkio, network, host] = await Promise.all([
    layout.version === 2 ? cpuV2(read) : cpuV1(read), layout.version === 2 ? memoryV2(read) : memoryV1(read), pidStats(read), blkioStats(read, layout.version),
    shared === "host" || shared === "none" ? "" : readFile(`/proc/${running.pid}/net/dev`, "utf8").catch(() => ""), readFile("/proc/stat", "utf8"),
  ]);
  return { read: rfc3339Nano(agent.clock.nowNano()), cpu: { ...cpu, system: systemCpu(host), online: cpus().length }, memory, pids, blkio, networks: netDev(network) };
}

type Read = (controller: CgroupController, file: string) => Promise<string | null>;
const TICK_NS = 10_000_000;

async function cpuV1(read: Read) {
  const [usage, perCpu, stat, throttled] = await Promise.all([read("cpuacct", "cpuacct.usage"), read("cpuacct", "cpuacct.usage_percpu"), read("cpuacct", "cpuacct.stat"), read("cpu", "cpu.stat")]);
  const split = keyed(stat ?? "");
  const throttling = keyed(throttled ?? "");
  return {
    total: Number(usage ?? 0), perCpu: (perCpu ?? "").trim().split(/\s+/).filter((word) => word !== "").map(Number), kernel: (split["system"] ?? 0) * TICK_NS, user: (split["user"] ?? 0) * TICK_NS,
    periods: throttling["nr_periods"] ?? 0, throttledPeriods: throttling["nr_throttled"] ?? 0, throttledTime: throttling["throttled_time"] ?? 0,
  };
}

async function cpuV2(read: Read) {
  const stat = keyed(await read("cpu", "cpu.stat") ?? "");
  return {
    total: (stat["usage_usec"] ?? 0) * 1000, perCpu: [], kernel: (stat["system_usec"] ?? 0) * 1000, user: (stat["user_usec"] ?? 0) * 1000,
    periods: stat["nr_periods"] ?? 0, throttledPeriods: stat["nr_throttled"] ?? 0, throttledTime: (stat["throttled_usec"] ?? 0) * 1000,
  };
}

const limited = (text: string | null) => {
  const value = text === null || text.trim() === "max" ? Infinity : Number(text);
  return value >= NO_LIMIT ? totalmem() : value;
};

async function memoryV1(read: Read): Promise<Sample["memory"]> {
  const [usage, limit, max, failures, stat] = await Promise.all(["usage_in_bytes", "limit_in_bytes", "max_usage_in_bytes", "failcnt", "stat"].map((name) => read("memory", `memory.${name}`)));
  return usage === null || usage === undefined ? null : { usage: Number(usage), limit: limited(limit ?? null), max: Number(max ?? 0), failures: Number(failures ?? 0), stats: keyed(stat ?? "") };
}

async function memoryV2(read: Read): Promise<Sample["memory"]> {
  const [usage, limit, stat] = await Promise.all(["current", "max", "stat"].map((name) => read("memory", `memory.${name}`)));
  return usage === null || usage === undefined ? null : { usage: Number(usage), limit: limited(limit ?? null), max: null, failures: null, stats: keyed(stat ?? "") };
}

async function pidStats(read: Read): Promise<Sample["pids"]> {
  const [current, max] = await Promise.all([read("pids", "pids.current"), read("pids", "pids.max")]);
  return current === null ? null : { current: Number(current), limit: max === null || max.trim() === "max" ? null : Number(max) };
}

async function blkioStats(read: Read, version: number): Promise<Sample["blkio"]> {
  if (version === 2) return ioStat(await read("blkio", "io.stat") ?? "");
  return blkioBytes(await read("blkio", "blkio.throttle.io_service_bytes_recursive") ?? "");
}

/** Docker's stats as lines of JSON, one a second; or one line, with the second before it unless `oneShot`. */
export async function sendStats(agent: Agent, id: string, options: { stream: boolean; oneShot: boolean }, output: Writable, signal: AbortSignal): Promise<void> {
  const entry = entryOf(agent, id);
  const layout = cgroupLayout();
  const stop = AbortSignal.any([signal, agent.stopping]);
  let before: Sample | null = options.oneShot && !options.stream ? null : await sample(agent, entry, layout);
  if (!options.stream && !options.oneShot && before) await agent.clock.sleep(INTERVAL_MS, stop);
  for (;;) {
    const now = await sample(agent, entry, layout);
    const body = `${JSON.stringify(statsBody({ id, name: entry.stored.name }, now, before))}\n`;
    if (!output.write(body)) await Promise.race([once(output, "drain"), once(output, "close")]);
    if (!options.stream || stop.aborted || !output.writable || agent.entries.get(id) !== entry) return;
    before = now;
    await agent.clock.sleep(INTERVAL_MS, stop).catch(() => {});
    if (stop.aborted) return;
  }
}
