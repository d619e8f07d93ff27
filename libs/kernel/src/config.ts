import type { Static, TObject, TSchema } from "typebox";
import { Check, Convert, Errors } from "typebox/value";
import { GantryError } from "./errors.ts";

/** An environment as `process.env` has it. */
export type Env = Readonly<Record<string, string | undefined>>;

/** The variable of a property: `stateDir` → `GANTRY_STATE_DIR`. */
export function variableName(property: string, prefix = "GANTRY_"): string {
  return prefix + property.replace(/([a-z0-9])([A-Z])/g, "$1_$2").replace(/([A-Z])([A-Z][a-z])/g, "$1_$2").toUpperCase();
}

/**
 * Reads a flat TypeBox object schema from environment variables.
 *
 * - Strings as they are; integers, numbers and booleans (`true`, `1`, `yes`, `on` and their opposites) in words;
 *   arrays separated by commas; records as `a=1,b=2`; anything else as JSON.
 * - A variable that is unset or empty takes the schema's `default`; without one, an optional property is left out.
 * - Fails once, with INVALID, naming every variable that is missing or wrong and its description.
 *   Values are not repeated: they may be secrets.
 */
export function configFromEnv<S extends TObject>(schema: S, env: Env, prefix = "GANTRY_"): Static<S> {
  const config: Record<string, unknown> = {};
  const faults: string[] = [];
  const required: readonly string[] = schema.required ?? [];
  for (const [property, field] of Object.entries(schema.properties) as [string, TSchema & Record<string, unknown>][]) {
    const name = variableName(property, prefix);
    const described = typeof field["description"] === "string" ? ` (${field["description"]})` : "";
    const text = env[name];
    if (text === undefined || text === "") {
      if ("default" in field) config[property] = structuredClone(field["default"]);
      else if (required.includes(property)) faults.push(`${name} is not set${described}`);
      continue;
    }
    const value = fromText(field, text);
    if (Check(field, value)) config[property] = value;
    else faults.push(`${name} ${Errors(field, value)[0]?.message ?? "is not valid"}${described}`);
  }
  if (faults.length > 0) throw new GantryError("INVALID", `configuration: ${faults.join("; ")}`);
  return config as Static<S>;
}

const TRUE = new Set(["true", "1", "yes", "on"]);
const FALSE = new Set(["false", "0", "no", "off"]);

function fromText(field: TSchema & Record<string, unknown>, text: string): unknown {
  switch (field["type"]) {
    case "string": return text;
    case "boolean": {
      const word = text.toLowerCase();
      return TRUE.has(word) ? true : FALSE.has(word) ? false : text;
    }
    case "integer":
    case "number": return /^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$/.test(text) ? Number(text) : text;
    case "array": return text.trimStart().startsWith("[") ? fromJson(text) : Convert(field, list(text));
    case "object": return text.trimStart().startsWith("{") ? fromJson(text) : Object.fromEntries(list(text).map(pair));
    default: return Convert(field, text);
  }
}

function list(text: string): string[] {
  return text.split(",").map((item) => item.trim()).filter((item) => item !== "");
}

function pair(item: string): [string, string] {
  const at = item.indexOf("=");
  return at < 0 ? [item, ""] : [item.slice(0, at), item.slice(at + 1)];
}

/** The value, or the text itself where it is not JSON: the schema then refuses it. */
function fromJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
