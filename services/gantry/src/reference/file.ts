import { resolve } from "node:path";

/** The checkout. */
export const ROOT = resolve(import.meta.dirname, "../../../..");
export const REFERENCE = resolve(ROOT, "docs/configuration.md");
