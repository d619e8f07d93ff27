import path from "node:path";
import { definitionsOf } from "./definitions.ts";
import { Topology } from "./topology.ts";

export const DEFINITIONS_FILE = path.join(import.meta.dirname, "../../../../infra/rabbitmq/definitions.json");

/** What {@link DEFINITIONS_FILE} holds: the default namespace in a virtual host of its own. */
export function definitionsText(): string {
  return `${JSON.stringify(definitionsOf(new Topology("gantry"), "gantry"), null, 1)}\n`;
}
