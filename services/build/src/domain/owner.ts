import { fail } from "@gantry/contracts";
import type { Owner } from "./copy-plan.ts";

const MAX_ID = 2 ** 32 - 2;

/**
 * `--chown=user[:group]`: names are looked up in the image's own files (null where it has none), numbers are taken as they
 * are; without a group the user's name or number counts for it too. Errors in Docker's words.
 */
export function parseOwner(chown: string, passwd: string | null, group: string | null): Owner {
  if (chown === "") return { uid: 0, gid: 0 };
  const colon = chown.indexOf(":");
  const user = colon < 0 ? chown : chown.slice(0, colon);
  const groupName = colon < 0 ? chown : chown.slice(colon + 1);
  if (user === "") throw failed("invalid chown string, specified group without user", chown);
  return { uid: idOf(user, passwd, "uid", "user", chown), gid: idOf(groupName, group, "gid", "group", chown) };
}

function idOf(name: string, file: string | null, id: string, kind: string, chown: string): number {
  if (/^\d+$/.test(name)) {
    const number = Number(name);
    if (number > MAX_ID) throw failed(`${id} ${name} is out of range`, chown);
    return number;
  }
  for (const line of (file ?? "").split("\n")) {
    const fields = line.split(":");
    if (fields[0] === name && /^\d+$/.test(fields[2] ?? "")) return Number(fields[2]);
  }
  throw failed(`can't find ${id} for ${kind} ${name}: no such ${kind}: ${name}`, chown);
}

const failed = (why: string, chown: string) => fail("BUILD_FAILED", `unable to convert uid/gid chown string to host mapping: ${why}`, { details: { chown } });

/** `--chmod=755`: octal; null where it is not given. */
export function parseMode(chmod: string): number | null {
  if (chmod === "") return null;
  if (!/^[0-7]{1,5}$/.test(chmod) || Number.parseInt(chmod, 8) > 0o7777) {
    throw fail("BUILD_FAILED", `invalid chmod parameter: '${chmod}'. it should be octal string and between 0 and 07777`);
  }
  return Number.parseInt(chmod, 8);
}
