export * from "./port.ts";
export type { BusOptions } from "./options.ts";
export { QUEUE_LIMITS, type QueueLimits } from "./limits.ts";
export type { DeadLetter, DeadLetters, Retried } from "./dead-letters.ts";
export { openBus } from "./open.ts";
export { createLocalBus, type LocalBusOptions } from "./local/bus.ts";
export { LocalBroker } from "./local/broker.ts";
