export * from "./port.ts";
export * from "./defaults.ts";
export { startRuntime, endSpawner, type RuntimeOptions } from "./start.ts";
export { readLog, type LogOptions, type LogRecord } from "./log.ts";
export { cgroupLayout, cgroupDirectory, removeCgroup, type CgroupLayout, type CgroupController } from "./cgroups.ts";
export * from "./native.ts";
export type * from "./native-port.ts";
