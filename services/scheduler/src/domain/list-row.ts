import type { PortMap } from "@gantry/contracts";
import { commandOf, mountRows, networksOf } from "./inspect.ts";
import { healthOf, type ContainerRecord } from "./record.ts";
import { isRunning } from "./state.ts";
import { statusText } from "./status-text.ts";

export interface PortRow { IP?: string; PrivatePort: number; PublicPort?: number; Type: string }

/** Ports of a row: published ones once for each host address, exposed ones without. Empty unless it runs, as Docker's. */
export function portRows(record: ContainerRecord): PortRow[] {
  if (!isRunning(record.state)) return [];
  const published = record.state.ports as PortMap;
  const rows: PortRow[] = [];
  for (const port of new Set([...Object.keys(published), ...Object.keys(record.spec.config.ExposedPorts)])) {
    const [number, type = "tcp"] = port.split("/");
    const bindings = published[port] ?? [];
    if (bindings.length === 0) rows.push({ PrivatePort: Number(number), Type: type });
    for (const binding of bindings) rows.push({ IP: binding.HostIp, PrivatePort: Number(number), PublicPort: Number(binding.HostPort), Type: type });
  }
  return rows;
}

/** Docker's COMMAND column: the words joined, arguments with a space in single quotes. */
export function commandText(words: readonly string[]): string {
  return words.map((word, i) => (i > 0 && word.includes(" ") ? `'${word}'` : word)).join(" ");
}

export interface Shown {
  readonly now: number;
  /** What to show for the image; null for the one asked for at creation. */
  readonly imageRef: string | null;
  readonly sizes: { readonly sizeRw: number; readonly sizeRootFs: number } | null;
  /** Its node is: what is known is what was known last. */
  readonly unreachable: boolean;
}

/** A row of `GET /containers/json`. */
export function listRow(record: ContainerRecord, { now, imageRef, sizes, unreachable }: Shown): Record<string, unknown> {
  const networks = networksOf(record);
  return {
    Id: record.id,
    Names: [`/${record.name}`],
    Image: imageRef ?? record.spec.config.Image,
    ImageID: record.imageId,
    Command: commandText(commandOf(record)),
    Created: Math.floor(Date.parse(record.created) / 1000),
    Ports: portRows(record),
    ...(sizes === null ? {} : { SizeRw: sizes.sizeRw, SizeRootFs: sizes.sizeRootFs }),
    Labels: record.spec.config.Labels,
    State: record.state.status,
    Status: statusText(record.state, healthOf(record), now) + (unreachable ? ` (unreachable: node ${record.nodeId})` : ""),
    HostConfig: { NetworkMode: record.spec.hostConfig.NetworkMode },
    NetworkSettings: { Networks: networks },
    Mounts: mountRows(record),
  };
}
