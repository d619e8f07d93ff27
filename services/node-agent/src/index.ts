export * from "./module.ts";
export { isDefaultBridge, networkConfig } from "./domain/network-config.ts";
