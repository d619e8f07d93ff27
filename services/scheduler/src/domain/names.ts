import { fail } from "@gantry/contracts";
import { ADJECTIVES, SURNAMES } from "./words.ts";

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;
const MAX_LENGTH = 255;

/** `adjective_surname`, and a digit behind it from the second attempt on. `random` gives [0, 1). */
export function generateName(random: () => number, attempt: number): string {
  const pick = (words: readonly string[]) => words[Math.floor(random() * words.length)]!;
  const name = `${pick(ADJECTIVES)}_${pick(SURNAMES)}`;
  return attempt === 0 ? name : `${name}${Math.floor(random() * 10)}`;
}

/** The name without its leading slash. Docker's rule: two or more of [a-zA-Z0-9_.-], the first a letter or digit. */
export function checkName(given: string): string {
  const name = given.replace(/^\//, "");
  if (!NAME.test(name) || name.length > MAX_LENGTH) {
    throw fail("INVALID", `Invalid container name (${given}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`);
  }
  return name;
}

export function nameInUse(name: string, id: string) {
  return fail("NAME_IN_USE", `Conflict. The container name "/${name}" is already in use by container "${id}". ` +
    "You have to remove (or rename) that container to be able to reuse that name.");
}
