export * from "./port.ts";
export * from "./names.ts";
export * from "./subnets.ts";
