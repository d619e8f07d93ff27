export * from "./port.ts";
export * from "./native.ts";
export type * from "./native-port.ts";
