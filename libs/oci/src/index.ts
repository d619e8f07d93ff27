export * from "./config.ts";
export * from "./digest.ts";
export * from "./manifest.ts";
export * from "./media-types.ts";
export * from "./parse.ts";
export * from "./platform.ts";
export * from "./reference.ts";
