import type { ContainerRow } from "@gantry/contracts";
import { ZERO_TIME } from "@gantry/kernel";
import { commandOf } from "./inspect.ts";
import { commandText, portRows } from "./list-row.ts";
import { healthOf, type ContainerRecord } from "./record.ts";
import { isRunning } from "./state.ts";

/** A container's row of an overview. `imageRef`: what to show for the image, null for the one asked for at creation. */
export function overviewRow(record: ContainerRecord, imageRef: string | null): ContainerRow {
  const { state } = record;
  const last = isRunning(state) ? state.startedAt : state.finishedAt;
  return {
    id: record.id,
    name: record.name,
    image: imageRef ?? record.spec.config.Image,
    command: commandText(commandOf(record)),
    node: record.nodeId,
    state: state.status,
    health: isRunning(state) ? healthOf(record) : null,
    exitCode: state.status === "exited" || state.status === "dead" ? state.exitCode : null,
    created: Date.parse(record.created),
    since: last === ZERO_TIME ? null : Date.parse(last),
    ports: portRows(record).map((port) => ({ ip: port.IP ?? "", privatePort: port.PrivatePort, publicPort: port.PublicPort ?? null, type: port.Type })),
  };
}
