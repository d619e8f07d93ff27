import type { Device, Mount } from "./port.ts";

export { parseSignal as signalNumber } from "@gantry/contracts";

/** Docker's: what a container has unless told otherwise. */
export const DEFAULT_CAPABILITIES: readonly string[] = [
  "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP",
  "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
];

/** By number. */
export const ALL_CAPABILITIES: readonly string[] = [
  "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE",
  "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT",
  "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE",
  "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ",
  "PERFMON", "BPF", "CHECKPOINT_RESTORE",
].map((name) => `CAP_${name}`);

export const DEFAULT_MASKED_PATHS: readonly string[] = [
  "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
  "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
];

export const DEFAULT_READONLY_PATHS: readonly string[] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

const NO_EXEC = ["nosuid", "noexec", "nodev"];

/** In the order they are made. `shmSize` in bytes; Docker's is 64 MiB. */
export function defaultMounts({ shmSize = 64 << 20 }: { shmSize?: number } = {}): Mount[] {
  return [
    { destination: "/proc", type: "proc", source: "proc", options: NO_EXEC },
    { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "strictatime", "mode=755", "size=65536k"] },
    { destination: "/dev/pts", type: "devpts", source: "devpts", options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"] },
    { destination: "/sys", type: "sysfs", source: "sysfs", options: [...NO_EXEC, "ro"] },
    { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["ro", ...NO_EXEC] },
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: NO_EXEC },
    { destination: "/dev/shm", type: "tmpfs", source: "shm", options: [...NO_EXEC, "mode=1777", `size=${shmSize}`] },
  ];
}
export const DEFAULT_MOUNTS: readonly Mount[] = defaultMounts();

const node = (path: string, major: number, minor: number): Device => ({ path, type: "c", major, minor, mode: 0o666, uid: 0, gid: 0, access: "rwm" });

export function defaultDevices(): Device[] {
  return [
    node("/dev/null", 1, 3), node("/dev/zero", 1, 5), node("/dev/full", 1, 7), node("/dev/random", 1, 8), node("/dev/urandom", 1, 9),
    node("/dev/tty", 5, 0),
  ];
}
export const DEFAULT_DEVICES: readonly Device[] = defaultDevices();

/** Every node may be made; those above, terminals and tun may be opened. Everything else is denied. */
export const DEFAULT_DEVICE_RULES: readonly string[] = [
  "c *:* m", "b *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm", "c 5:0 rwm", "c 5:1 rwm", "c 5:2 rwm", "c 10:200 rwm",
  "c 136:* rwm",
];
