import type { DockerEvent } from "@gantry/contracts";
import type { FilterMap } from "./filters.ts";

/** Whether an event passes the filters of `GET /events`: any value of one name, all names. */
export function eventMatches(event: DockerEvent, filters: FilterMap): boolean {
  return Object.entries(filters).every(([name, values]) => values.length === 0 || values.some((value) => matchesOne(event, name, value)));
}

function matchesOne(event: DockerEvent, name: string, value: string): boolean {
  const { ID, Attributes } = event.Actor;
  switch (name) {
    case "type": return event.Type === value;
    case "event": return event.Action === value || event.Action.startsWith(`${value}:`);
    case "scope": return event.scope === value;
    case "id": return ID.startsWith(value);
    case "label": return labelMatches(Attributes, value);
    case "image": return imageMatches(event, value);
    case "container":
    case "network":
    case "volume":
    case "daemon":
    case "node":
    case "plugin":
    case "service":
    case "secret":
    case "config":
      return actorMatches(event, name, value);
    default: return false;
  }
}

function labelMatches(attributes: Readonly<Record<string, string>>, wanted: string): boolean {
  const equals = wanted.indexOf("=");
  if (equals < 0) return Object.hasOwn(attributes, wanted);
  return attributes[wanted.slice(0, equals)] === wanted.slice(equals + 1);
}

/** Events of the thing itself; and those of networks and volumes that tell which container they are about. */
function actorMatches(event: DockerEvent, type: string, value: string): boolean {
  const { ID, Attributes } = event.Actor;
  if (event.Type === type) return ID === value || (value !== "" && ID.startsWith(value)) || Attributes["name"] === value;
  const other = Attributes[type];
  return other !== undefined && (other === value || other.startsWith(value));
}

/** An image by ID, name with tag, or name without; and what ran from it. */
function imageMatches(event: DockerEvent, value: string): boolean {
  const names = [event.Actor.Attributes["image"]];
  if (event.Type === "image") names.push(event.Actor.ID, event.Actor.Attributes["name"]);
  return names.some((name) => name !== undefined && (name === value || withoutTag(name) === value || name.replace(/^sha256:/, "").startsWith(value)));
}

function withoutTag(name: string): string {
  const colon = name.lastIndexOf(":");
  return colon > name.lastIndexOf("/") ? name.slice(0, colon) : name;
}

/** The fields that clients before 1.22 read, which Docker still sends. */
export function eventRow(event: DockerEvent): object {
  const legacy = event.Type === "container" || event.Type === "image"
    ? { status: event.Action, id: event.Actor.ID, ...(event.Actor.Attributes["image"] === undefined ? {} : { from: event.Actor.Attributes["image"] }) }
    : {};
  return { ...legacy, ...event };
}
