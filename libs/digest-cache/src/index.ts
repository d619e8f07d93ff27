export * from "./port.ts";
export { openDigestCache, type DigestCacheOptions } from "./open.ts";
export { MemoryDigestCache, type MemoryOptions } from "./memory.ts";
