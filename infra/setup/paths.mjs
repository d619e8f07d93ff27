import { join, resolve } from "node:path";

/** The checkout. */
export const ROOT = resolve(import.meta.dirname, "../..");
/** What the set-up brings in: pnpm, base images, Debian's docker command. */
export const TOOLS = join(ROOT, ".tools");
/** What the set-up makes of the checkout. */
export const BUILD = join(ROOT, "build");
