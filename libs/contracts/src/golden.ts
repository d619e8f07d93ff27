import type { Contract } from "./message.ts";

/** A contract as it is kept in `golden/<name>.json`. */
export interface Golden {
  readonly kind: string;
  readonly name: string;
  readonly body: JsonSchema;
  readonly reply: JsonSchema;
}

type JsonSchema = { readonly [key: string]: unknown };

/** The contract's schemas as plain JSON, without descriptions: they promise nothing. */
export function toGolden(contract: Contract): Golden {
  return { kind: contract.kind, name: contract.name, body: plain(contract.body), reply: plain(contract.reply) };
}

/**
 * What breaks whoever still speaks the golden version; empty when every change is additive. Allowed within a version: new optional
 * properties in a body, any new properties in a reply or an event (readers ignore what they do not know), a required body property that
 * becomes optional, wider values in a body, narrower ones in a reply. Everything else needs a `.v2` beside it.
 */
export function breaches(golden: Golden, now: Golden): string[] {
  if (golden.kind !== now.kind) return [`${golden.name}: was a ${golden.kind}, is a ${now.kind}`];
  const found: string[] = [];
  // A body is written by old senders and read by new handlers; of an event or a job also the other way round.
  const body: Direction = golden.kind === "event" || golden.kind === "job" ? "both" : "in";
  compare(`${golden.name} body`, golden.body, now.body, body, found);
  if (body === "in") compare(`${golden.name} reply`, golden.reply, now.reply, "out", found);
  return found;
}

/** `in`: old writers, new readers. `out`: new writers, old readers. */
type Direction = "in" | "out" | "both";

function compare(path: string, before: JsonSchema, after: JsonSchema, direction: Direction, found: string[]): void {
  const alternatives = [before, after].map(branches) as [JsonSchema[], JsonSchema[]];
  if (alternatives[0].length > 1 || alternatives[1].length > 1) return compareBranches(path, ...alternatives, direction, found);
  if (before["type"] !== after["type"] && !(before["type"] === "integer" && after["type"] === "number" && direction === "in")) {
    found.push(`${path}: was ${kindOf(before)}, is ${kindOf(after)}`);
    return;
  }
  compareConstraints(path, before, after, direction, found);
  if (before["type"] === "object") compareObjects(path, before, after, direction, found);
  if (before["type"] === "array") compare(`${path}[]`, schemaOf(before["items"]), schemaOf(after["items"]), direction, found);
}

function compareObjects(path: string, before: JsonSchema, after: JsonSchema, direction: Direction, found: string[]): void {
  const [old, fresh] = [propertiesOf(before), propertiesOf(after)];
  const [required, requiredNow] = [requiredOf(before), requiredOf(after)];
  for (const [name, schema] of Object.entries(old)) {
    const next = fresh[name];
    if (next === undefined) found.push(`${path}/${name}: was removed`);
    else compare(`${path}/${name}`, schema, next, direction, found);
    if (next !== undefined && required.has(name) && !requiredNow.has(name) && direction !== "in") found.push(`${path}/${name}: is no longer always there`);
  }
  for (const name of requiredNow) if (!required.has(name) && direction !== "out") found.push(`${path}/${name}: is now required`);
  const [patterns, patternsNow] = [schemasOf(before["patternProperties"]), schemasOf(after["patternProperties"])];
  for (const [pattern, schema] of Object.entries(patterns)) {
    const next = patternsNow[pattern];
    if (next === undefined) found.push(`${path}/*: was a record, is not`);
    else compare(`${path}/*`, schema, next, direction, found);
  }
  if (Object.keys(patterns).length === 0 && Object.keys(patternsNow).length > 0) found.push(`${path}/*: was no record, is one`);
}

/** Alternatives are matched by being equal, else in turn. */
function compareBranches(path: string, before: JsonSchema[], after: JsonSchema[], direction: Direction, found: string[]): void {
  const text = (schema: JsonSchema) => JSON.stringify(schema);
  const gone = before.filter((schema) => !after.some((other) => text(other) === text(schema)));
  const fresh = after.filter((schema) => !before.some((other) => text(other) === text(schema)));
  for (const schema of gone) {
    const at = fresh.findIndex((other) => other["type"] === schema["type"] && other["const"] === schema["const"]);
    const [next] = at < 0 ? [] : fresh.splice(at, 1);
    if (next !== undefined) compare(path, schema, next, direction, found);
    else if (direction !== "out") found.push(`${path}: no longer takes ${kindOf(schema)}`);
  }
  if (direction !== "in") for (const schema of fresh) found.push(`${path}: may now be ${kindOf(schema)}`);
}

/** Every other keyword that limits values. Losing one widens, gaining one narrows, changing a bound does one of them. */
function compareConstraints(path: string, before: JsonSchema, after: JsonSchema, direction: Direction, found: string[]): void {
  for (const [keyword, sign] of BOUNDS) {
    const [old, fresh] = [before[keyword], after[keyword]].map((value) => (typeof value === "number" ? value : -sign * Infinity)) as [number, number];
    const wider = sign * fresh < sign * old;
    if (old !== fresh && (direction === "both" || wider === (direction === "out"))) found.push(`${path}: ${keyword} was ${show(before[keyword])}, is ${show(after[keyword])}`);
  }
  for (const keyword of EXACT) {
    const [old, fresh] = [JSON.stringify(before[keyword]), JSON.stringify(after[keyword])];
    const allowed = (direction === "in" && fresh === undefined) || (direction === "out" && old === undefined);
    if (old !== fresh && !allowed) found.push(`${path}: ${keyword} was ${show(before[keyword])}, is ${show(after[keyword])}`);
  }
}

/** Sign +1: a greater value is narrower. */
const BOUNDS = [
  ["minimum", 1], ["exclusiveMinimum", 1], ["minLength", 1], ["minItems", 1], ["minProperties", 1],
  ["maximum", -1], ["exclusiveMaximum", -1], ["maxLength", -1], ["maxItems", -1], ["maxProperties", -1],
] as const;
const EXACT = ["const", "enum", "pattern", "format", "additionalProperties", "uniqueItems", "multipleOf"];

function branches(schema: JsonSchema): JsonSchema[] {
  return Array.isArray(schema["anyOf"]) ? (schema["anyOf"] as JsonSchema[]).flatMap(branches) : [schema];
}

function plain(schema: unknown): JsonSchema {
  return JSON.parse(JSON.stringify(schema, (key, value: unknown) => (key === "description" && typeof value === "string" ? undefined : value))) as JsonSchema;
}

function schemaOf(value: unknown): JsonSchema {
  return typeof value === "object" && value !== null ? (value as JsonSchema) : {};
}

function schemasOf(value: unknown): Record<string, JsonSchema> {
  return schemaOf(value) as Record<string, JsonSchema>;
}

const propertiesOf = (schema: JsonSchema) => schemasOf(schema["properties"]);
const requiredOf = (schema: JsonSchema) => new Set(Array.isArray(schema["required"]) ? (schema["required"] as string[]) : []);
const show = (value: unknown) => (value === undefined ? "not set" : JSON.stringify(value));
const kindOf = (schema: JsonSchema) => ("const" in schema ? JSON.stringify(schema["const"]) : typeof schema["type"] === "string" ? schema["type"] : "anything");
