export * from "./port.ts";
export type * from "./native-port.ts";
