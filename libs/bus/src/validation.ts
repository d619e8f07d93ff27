import { fail, type Contract } from "@gantry/contracts";
import type { GantryError } from "@gantry/kernel";
import type { TSchema } from "typebox";
import { Compile, type Validator } from "typebox/compile";
import { LIMITS } from "./options.ts";

const validators = new WeakMap<TSchema, Validator>();

/** The compiled validator of a schema, made at first use and kept. */
function validatorOf(schema: TSchema): Validator {
  let validator = validators.get(schema);
  if (validator === undefined) validators.set(schema, validator = Compile(schema));
  return validator;
}

/** INVALID, naming the first field that is wrong, unless the value fits the contract. */
export function check(contract: Contract, part: "body" | "reply", value: unknown): void {
  const validator = validatorOf(contract[part]);
  if (validator.Check(value)) return;
  const [first] = validator.Errors(value);
  throw fail("INVALID", `${contract.name}: ${part}${first?.instancePath ?? ""} ${first?.message ?? "does not fit its schema"}`);
}

/** JSON text of a value that fits; TOO_LARGE past the bound. */
export function serialize(contract: Contract, part: "body" | "reply", value: unknown): string {
  check(contract, part, value);
  const text = JSON.stringify(value) ?? "null";
  if (text.length > LIMITS.messageBytes || (text.length * 3 > LIMITS.messageBytes && Buffer.byteLength(text) > LIMITS.messageBytes)) throw tooLarge(contract, part);
  return text;
}

/** The value of JSON text, checked; INVALID if it is no JSON. */
export function parse(contract: Contract, part: "body" | "reply", text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw fail("INVALID", `${contract.name}: ${part} is not JSON`, { cause });
  }
  check(contract, part, value);
  return value;
}

function tooLarge(contract: Contract, part: string): GantryError {
  return fail("TOO_LARGE", `${contract.name}: ${part} is larger than ${LIMITS.messageBytes} bytes`);
}
