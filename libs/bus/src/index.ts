export * from "./port.ts";
export type { BusOptions } from "./options.ts";
export type { DeadLetter } from "./message.ts";
export { openBus } from "./open.ts";
export { createLocalBus, type LocalBusOptions } from "./local/bus.ts";
export { LocalBroker } from "./local/broker.ts";
