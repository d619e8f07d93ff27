import type { TSchema } from "typebox";
import { Compile, type Validator } from "typebox/compile";
import { fail } from "./errors.ts";
import type { Contract } from "./message.ts";

const validators = new WeakMap<TSchema, Validator>();

/** The compiled validator of a schema, made at first use and kept. */
export function validatorOf(schema: TSchema): Validator {
  let validator = validators.get(schema);
  if (validator === undefined) validators.set(schema, validator = Compile(schema));
  return validator;
}

/** What is wrong with a value, in words that name the field (`/spec/tags must be array`); null if it fits. */
export function faultOf(schema: TSchema, value: unknown): string | null {
  const validator = validatorOf(schema);
  if (validator.Check(value)) return null;
  const [first] = validator.Errors(value);
  return `${first?.instancePath ?? ""} ${first?.message ?? "does not fit its schema"}`.trim();
}

/** INVALID, naming the message and the first field that is wrong, unless the value fits the contract. */
export function checkMessage(contract: Contract, part: "body" | "reply", value: unknown): void {
  const fault = faultOf(contract[part], value);
  if (fault !== null) throw fail("INVALID", `${contract.name}: ${part} ${fault}`);
}
