export * from "./port.ts";
export * from "./names.ts";
export * from "./subnets.ts";
export * from "./files.ts";
export { openHostNetwork } from "./host.ts";
export { HostInstance, instanceOf } from "./instance.ts";
export { hostSubnets } from "./host-subnets.ts";
export { isLoopback } from "./ip.ts";
