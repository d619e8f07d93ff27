import { chmod, readFile, rename, writeFile } from "node:fs/promises";
import type { Bus } from "@gantry/bus";
import { newToken, parseToken, tokenCheck, tokenCreate } from "@gantry/contracts";
import { errnoOf } from "@gantry/kernel";

/**
 * The admin token that a start prints, kept in `file` (mode 0600) for later starts. When it was removed, as after it got into wrong
 * hands, there is a new one.
 */
export async function startToken(file: string, bus: Pick<Bus, "call">): Promise<string> {
  const text = (await readFile(file, "utf8").catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT") return "";
    throw error;
  })).trim();
  const known = parseToken(text);
  if (known !== null && (await bus.call(tokenCheck, { id: known.id })).token?.hash === known.hash) {
    await chmod(file, 0o600);
    return text;
  }
  const made = newToken();
  await writeFile(`${file}.new`, `${made.text}\n`, { mode: 0o600, flush: false });
  await rename(`${file}.new`, file);
  await bus.call(tokenCreate, { id: made.id, hash: made.hash, name: "start", role: "admin", expires: null });
  return made.text;
}
