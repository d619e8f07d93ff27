import { fail } from "@gantry/contracts";
import { type Clock, isGantryError } from "@gantry/kernel";
import { type BuildLogLine, parseBuildLogLine } from "../domain/build-log.ts";
import { lineBatches } from "./lines.ts";
import type { Upstreams } from "./upstreams.ts";

const MAX_FAILURES = 40;
const MAX_DELAY_MS = 2000;

/**
 * The log of a build from its first line to its end, in batches as they come. A build service that goes away is asked
 * again, from the line after the last one seen, for about a minute.
 */
export async function* followBuild(upstreams: Upstreams, clock: Clock, address: string, id: string, signal: AbortSignal): AsyncGenerator<BuildLogLine[]> {
  let from = 0;
  for (let failures = 0; ; failures++) {
    try {
      const response = await upstreams.request(address, { method: "GET", path: `/v1/builds/${id}/logs?from=${from}`, signal });
      for await (const lines of lineBatches(response.body)) {
        const rows = lines.map(parseBuildLogLine).filter((row) => row !== null).filter((row) => row.seq >= from);
        if (rows.length === 0) continue;
        from = rows.at(-1)!.seq + 1;
        failures = 0;
        yield rows;
        if (rows.some((row) => row.kind === "end")) return;
      }
    } catch (error) {
      signal.throwIfAborted();
      if (isGantryError(error) && error.code !== "UNAVAILABLE") throw error;
    }
    if (failures >= MAX_FAILURES) throw fail("UNAVAILABLE", `the build service at ${address} is gone; build ${id} goes on without its log`);
    await clock.sleep(Math.min(50 * 2 ** failures, MAX_DELAY_MS), signal);
  }
}
