export * from "./port.ts";
export { openDatabase, type OpenOptions } from "./open.ts";
export { relayOutbox, type RelayOptions } from "./relay.ts";
export { columnTypes, type ColumnTypes } from "./schema.ts";
export { fromJson, toJson } from "./json.ts";
export { isConnectionFailure, isUniqueViolation } from "./errors.ts";
