/** Writes docs/metrics.md anew. */
import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { metricsDocument } from "./document.ts";

writeFileSync(resolve(import.meta.dirname, "../../../../docs/metrics.md"), metricsDocument());
