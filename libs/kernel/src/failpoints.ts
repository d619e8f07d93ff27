import { GantryError } from "./errors.ts";

/**
 * Named places in the code where a test makes a fault happen. Unarmed, one costs a look at an empty map.
 *
 * A plan is a chain of terms, each used up before the next: `[count*]action`, joined by `->`. Without a count the term lasts.
 * Actions: `off`; `error(message)`; `crash` (SIGKILL to the own process); `delay(ms)`; `pause` (until disarmed).
 * Example: `GANTRY_FAILPOINTS="bus.before-ack=2*off->crash;blob.sync=error(disk full)"`: the third acknowledgement kills the process.
 */
interface Term { left: number; readonly action: string; readonly argument: string }
interface Armed { readonly terms: Term[]; hits: number; readonly released: Promise<void>; readonly release: () => void }

const armed = new Map<string, Armed>();

/**
 * Marks a place. Throws, kills the process, or gives a promise to wait for, as armed; else gives undefined at once:
 * `await failpoint("content.before-rename")`.
 */
export function failpoint(name: string): Promise<void> | undefined {
  if (armed.size === 0) return undefined;
  const point = armed.get(name);
  if (point === undefined) return undefined;
  point.hits++;
  const term = point.terms.find((t) => t.left > 0);
  if (term === undefined) return undefined;
  term.left--;
  switch (term.action) {
    case "error": throw new GantryError("INTERNAL", term.argument || `failpoint ${name}`);
    case "crash": process.kill(process.pid, "SIGKILL"); return undefined;
    case "delay": return new Promise((resolve) => setTimeout(resolve, Number(term.argument)));
    case "pause": return point.released;
    default: return undefined;
  }
}

/** Arms a failpoint; disposing disarms it and lets go who waits at it. `hits` counts how often the place was passed since. */
export function armFailpoint(name: string, plan: string): Disposable & { readonly hits: number } {
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  const mine: Armed = { terms: plan.split("->").map(parseTerm), hits: 0, released, release };
  armed.get(name)?.release();
  armed.set(name, mine);
  return {
    get hits() { return mine.hits; },
    [Symbol.dispose]() {
      release();
      if (armed.get(name) === mine) armed.delete(name);
    },
  };
}

/** Arms what `GANTRY_FAILPOINTS` names (`name=plan;name=plan`), for the life of the process. */
export function armFailpointsFromEnv(env: Readonly<Record<string, string | undefined>>): void {
  for (const item of (env["GANTRY_FAILPOINTS"] ?? "").split(";")) {
    if (item.trim() === "") continue;
    const at = item.indexOf("=");
    if (at < 1) throw new GantryError("INVALID", `GANTRY_FAILPOINTS: ${JSON.stringify(item)} is not name=plan`);
    armFailpoint(item.slice(0, at).trim(), item.slice(at + 1).trim());
  }
}

function parseTerm(text: string): Term {
  const match = /^(?:([0-9]{1,9})\*)?(off|error|crash|delay|pause)(?:\(([^()]*)\))?$/.exec(text.trim());
  if (match === null) throw new GantryError("INVALID", `failpoint plan: ${JSON.stringify(text)} is not [count*]off|error(message)|crash|delay(ms)|pause`);
  const [, count, action = "off", argument = ""] = match;
  if (action === "delay" && !/^[0-9]{1,9}$/.test(argument)) throw new GantryError("INVALID", `failpoint plan: delay takes milliseconds, not ${JSON.stringify(argument)}`);
  return { left: count === undefined ? Infinity : Number(count), action, argument };
}
