import { randomUUID } from "node:crypto";
import { link, mkdir, open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { fail } from "@gantry/contracts";
import { errnoOf } from "@gantry/kernel";
import type { CredentialFiles } from "../credentials.ts";

export const AUTHORITY = "ca.pem";
export const AUTHORITY_KEY = "ca-key.pem";
export const KEY_SUFFIX = "-key.pem";

export function pathsOf(dir: string, name: string): CredentialFiles {
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,100}$/.test(name) || name === "ca" || name.endsWith("-key")) throw fail("INVALID", `${JSON.stringify(name)} cannot be the name of a certificate's files`);
  return { ca: join(dir, AUTHORITY), cert: join(dir, `${name}.pem`), key: join(dir, name + KEY_SUFFIX) };
}

export async function makeDirectory(dir: string): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
}

/** Writes a file as a whole; it outlives a crash of the host. Throws CONFLICT where there is one that is not to be replaced. */
export async function writeWhole(path: string, text: string, { mode, replace }: { mode: number; replace: boolean }): Promise<void> {
  const temporary = `${path}.${randomUUID()}.new`;
  try {
    {
      await using file = await open(temporary, "w", mode);
      await file.chmod(mode);
      await file.writeFile(text);
      await file.sync();
    }
    if (replace) await rename(temporary, path);
    else await link(temporary, path);
  } catch (cause) {
    throw errnoOf(cause) === "EEXIST" ? fail("CONFLICT", `${path} exists and is left as it is`, { cause }) : cause;
  } finally {
    await rm(temporary, { force: true });
  }
}
