import { setTimeout } from "node:timers/promises";
import { fail } from "@gantry/contracts";
import { isGantryError } from "@gantry/kernel";
import type { Engine } from "./engine.ts";
import { printProgress, type ProgressRow } from "./json-lines.ts";
import { serverEvents } from "./server-events.ts";

const MAX_FAILURES = 30;
const RETRY_MS = 1_000;

interface End { readonly state: string; readonly error: string | null }

/** Prints a build's log as docker does, over lost connections too, and answers how it ended; null: it has not (without `follow`). */
export async function printBuildLog(engine: Engine, id: string, follow: boolean, out: { write(text: string): unknown }): Promise<End | null> {
  let from = 0;
  for (let failures = 0; ; failures++) {
    try {
      const response = await engine.open("GET", `/v1/builds/${id}/logs`, { query: { from, follow }, headers: { accept: "text/event-stream" } });
      for await (const { id: seq, event, data } of serverEvents(response)) {
        if (event === "end") return JSON.parse(data) as End;
        if (event !== "log") continue;
        from = Number(seq) + 1;
        failures = 0;
        const { message } = JSON.parse(data) as { message: ProgressRow };
        // Of a failed build the end says why.
        if (message.error === undefined) await printProgress(once(message), out);
      }
      if (!follow) return null;
    } catch (e) {
      if (isGantryError(e) && e.code !== "UNAVAILABLE" && e.code !== "INTERNAL") throw e;
      if (failures >= MAX_FAILURES) throw e;
    }
    if (failures >= MAX_FAILURES) throw fail("UNAVAILABLE", `the log of build ${id} cannot be followed; the build goes on`);
    await setTimeout(RETRY_MS);
  }
}

async function* once<T>(value: T): AsyncGenerator<T> {
  yield value;
}
