export * from "./port.ts";
export * from "./digest.ts";
export * from "./disk-store.ts";
export * from "./http-store.ts";
