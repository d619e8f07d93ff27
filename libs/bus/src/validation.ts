import { fail, type Contract } from "@gantry/contracts";
import { checkMessage } from "@gantry/contracts/validate";
import type { GantryError } from "@gantry/kernel";
import { LIMITS } from "./limits.ts";

/** JSON text of a value that fits; TOO_LARGE past the bound. */
export function serialize(contract: Contract, part: "body" | "reply", value: unknown): string {
  checkMessage(contract, part, value);
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
  checkMessage(contract, part, value);
  return value;
}

function tooLarge(contract: Contract, part: string): GantryError {
  return fail("TOO_LARGE", `${contract.name}: ${part} is larger than ${LIMITS.messageBytes} bytes`);
}
