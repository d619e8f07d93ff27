/** Writes `infra/rabbitmq/definitions.json` from the contracts: `node libs/bus/src/rabbitmq/update-definitions.ts`. */
import { writeFileSync } from "node:fs";
import { DEFINITIONS_FILE, definitionsText } from "./definitions-file.ts";

writeFileSync(DEFINITIONS_FILE, definitionsText());
console.log(DEFINITIONS_FILE);
