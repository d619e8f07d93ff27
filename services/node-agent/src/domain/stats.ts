/** What was read of a container at one moment; numbers of bytes and nanoseconds. Absent: the host does not count it. */
export interface Sample {
  readonly read: string;
  readonly cpu: { total: number; kernel: number; user: number; perCpu: number[]; system: number; online: number; periods: number; throttledPeriods: number; throttledTime: number };
  readonly memory: { usage: number; limit: number; stats: Record<string, number>; max: number | null; failures: number | null } | null;
  readonly pids: { current: number; limit: number | null } | null;
  readonly blkio: { major: number; minor: number; op: string; value: number }[];
  readonly networks: Record<string, Record<string, number>>;
}

const EMPTY_CPU = { cpu_usage: { total_usage: 0, usage_in_kernelmode: 0, usage_in_usermode: 0 }, throttling_data: { periods: 0, throttled_periods: 0, throttled_time: 0 } };

function cpuStats({ cpu }: Sample): Record<string, unknown> {
  return {
    cpu_usage: { total_usage: cpu.total, ...(cpu.perCpu.length > 0 ? { percpu_usage: cpu.perCpu } : {}), usage_in_kernelmode: cpu.kernel, usage_in_usermode: cpu.user },
    system_cpu_usage: cpu.system, online_cpus: cpu.online,
    throttling_data: { periods: cpu.periods, throttled_periods: cpu.throttledPeriods, throttled_time: cpu.throttledTime },
  };
}

/** Docker's body of `GET /containers/{id}/stats`. `now` null: the container does not run. */
export function statsBody(identity: { id: string; name: string }, now: Sample | null, before: Sample | null): Record<string, unknown> {
  const zero = "0001-01-01T00:00:00Z";
  return {
    name: `/${identity.name}`, id: identity.id, read: now?.read ?? zero, preread: before?.read ?? zero,
    pids_stats: now?.pids ? { current: now.pids.current, ...(now.pids.limit === null ? {} : { limit: now.pids.limit }) } : {},
    blkio_stats: {
      io_service_bytes_recursive: now && now.blkio.length > 0 ? now.blkio : null, io_serviced_recursive: null, io_queue_recursive: null, io_service_time_recursive: null,
      io_wait_time_recursive: null, io_merged_recursive: null, io_time_recursive: null, sectors_recursive: null,
    },
    num_procs: 0, storage_stats: {},
    cpu_stats: now ? cpuStats(now) : EMPTY_CPU, precpu_stats: before ? cpuStats(before) : EMPTY_CPU,
    memory_stats: now?.memory ? {
      usage: now.memory.usage, limit: now.memory.limit, stats: now.memory.stats,
      ...(now.memory.max === null ? {} : { max_usage: now.memory.max }), ...(now.memory.failures === null ? {} : { failcnt: now.memory.failures }),
    } : {},
    ...(now && Object.keys(now.networks).length > 0 ? { networks: now.networks } : {}),
  };
}

/** Flat keyed files: `key value` lines. */
export function keyed(text: string): Record<string, number> {
  return Object.fromEntries(text.split("\n").map((line) => line.split(" ")).filter((words) => words.length === 2).map(([key, value]) => [key!, Number(value)]));
}

/** cgroup v2 io.stat: `8:0 rbytes=1 wbytes=2 …`. */
export function ioStat(text: string): Sample["blkio"] {
  return text.split("\n").flatMap((line) => {
    const match = /^(\d+):(\d+) (.*)$/.exec(line);
    if (!match) return [];
    const values = Object.fromEntries(match[3]!.split(" ").map((pair) => pair.split("=") as [string, string]));
    const row = (op: string, value: string | undefined) => ({ major: Number(match[1]), minor: Number(match[2]), op, value: Number(value ?? 0) });
    return [row("read", values["rbytes"]), row("write", values["wbytes"])];
  });
}

/** cgroup v1 blkio.throttle.io_service_bytes_recursive: `8:0 Read 1`. */
export function blkioBytes(text: string): Sample["blkio"] {
  return text.split("\n").flatMap((line) => {
    const match = /^(\d+):(\d+) (Read|Write) (\d+)$/.exec(line);
    return match ? [{ major: Number(match[1]), minor: Number(match[2]), op: match[3]!.toLowerCase(), value: Number(match[4]) }] : [];
  });
}

/** /proc/PID/net/dev, without the loopback. */
export function netDev(text: string): Sample["networks"] {
  const names = ["rx_bytes", "rx_packets", "rx_errors", "rx_dropped", "", "", "", "", "tx_bytes", "tx_packets", "tx_errors", "tx_dropped"];
  return Object.fromEntries(text.split("\n").flatMap((line) => {
    const match = /^\s*([^\s:]+):\s*(.*)$/.exec(line);
    if (!match || match[1] === "lo") return [];
    const values = match[2]!.trim().split(/\s+/).map(Number);
    return [[match[1]!, Object.fromEntries(names.flatMap((name, i) => (name === "" ? [] : [[name, values[i] ?? 0]])))]];
  }));
}

/** The first line of /proc/stat: nanoseconds of all CPUs since the boot, at 100 ticks a second. */
export function systemCpu(text: string): number {
  const words = (text.split("\n", 1)[0] ?? "").trim().split(/\s+/).slice(1, 9).map(Number);
  return words.reduce((sum, ticks) => sum + ticks, 0) * 10_000_000;
}
