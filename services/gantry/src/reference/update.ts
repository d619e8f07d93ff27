/** Writes docs/configuration.md: node services/gantry/src/reference/update.ts */
import { writeFileSync } from "node:fs";
import { REFERENCE } from "./file.ts";
import { configurationReference } from "./markdown.ts";
import { sections } from "./variables.ts";

writeFileSync(REFERENCE, configurationReference(sections()));
