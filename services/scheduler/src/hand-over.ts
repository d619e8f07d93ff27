import { GiveBack, type Route } from "@gantry/bus";
import { isConnectionFailure } from "@gantry/database";
import { retry, type Clock } from "@gantry/kernel";
import { Superseded, type Leadership } from "./leadership.ts";

const READ_ATTEMPTS = 12;

/**
 * Commands and events that only the active scheduler handles. What it cannot finish, because it is not active any more or its database
 * is away, goes back to the queue: for the next scheduler, or for itself when the database is there again. Each handler bears that.
 */
export function handedOver(leader: Leadership, routes: readonly Route[]): Route[] {
  return routes.map(({ contract, handle }) => ({
    contract,
    async handle(body, delivery) {
      try {
        leader.check();
        return await handle(body, delivery);
      } catch (e) {
        if (!(e instanceof Superseded) && !isConnectionFailure(e)) throw e;
        await Promise.race([aborted(delivery.signal), leader.renewed]);
        throw new GiveBack("left to the active scheduler", { cause: e });
      }
    },
  }));
}

/** Queries: any scheduler answers them, and asks again while the database is restarted. */
export function patientReads(clock: Clock, routes: readonly Route[]): Route[] {
  return routes.map(({ contract, handle }) => ({
    contract,
    handle: (body, delivery) => retry(() => handle(body, delivery), { clock, attempts: READ_ATTEMPTS, baseMs: 50, maxMs: 1_500, retryable: isConnectionFailure, signal: delivery.signal }),
  }));
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
