export * from "./authority.ts";
export * from "./listing.ts";
