import { isGantryError } from "@gantry/kernel";
import { type Backend, find } from "../backend.ts";
import { parseCondition, Wait, type WaitResult } from "../domain/wait.ts";
import { text } from "../domain/query.ts";
import type { Exchange, Route } from "./exchange.ts";

type WaitBackend = Pick<Backend, "bus" | "events" | "clock">;

/** How often a waiting request looks by itself, should an event have been lost. */
const LOOK_AGAIN_MS = 15_000;

/** `POST /containers/{id}/wait`: the head at once, the body when it happens. */
export function waitRoutes(backend: WaitBackend): Route[] {
  return [{ method: "POST", path: "/containers/:id/wait", handle: async (x) => {
    const wait = new Wait(parseCondition(text(x.query, "condition")));
    const seq = backend.events.seq;
    const container = await find(backend, x.param("id"));
    const output = x.open("application/json");
    const result = wait.look(container) ?? await happens(backend, x, wait, container.id, seq);
    if (result !== null) output.end(`${JSON.stringify(result)}\n`);
  } }];
}

/** Resolves with the result; null when the client went away. */
async function happens(backend: WaitBackend, x: Exchange, wait: Wait, id: string, seq: number): Promise<WaitResult | null> {
  const { promise, resolve } = Promise.withResolvers<WaitResult | null>();
  const { gone } = x;
  const take = (result: WaitResult | null): void => { if (result !== null) resolve(result); };
  const stop = backend.events.follow(seq, (event) => {
    if (event.Type === "container" && event.Actor.ID === id) take(wait.event(event));
  });
  gone.addEventListener("abort", () => resolve(null), { once: true });
  const ended = new AbortController();
  void lookAgain(backend, id, wait, take, ended.signal);
  try {
    return await promise;
  } finally {
    stop();
    ended.abort();
  }
}

async function lookAgain(backend: WaitBackend, id: string, wait: Wait, take: (result: WaitResult | null) => void, ended: AbortSignal): Promise<void> {
  for (;;) {
    try {
      await backend.clock.sleep(LOOK_AGAIN_MS, ended);
      take(wait.look(await find(backend, id)));
    } catch (error) {
      if (ended.aborted) return;
      // A scheduler that does not answer is asked again; it has not said that the container is gone.
      if (isGantryError(error, "NO_SUCH_CONTAINER")) return take(wait.gone());
    }
  }
}
