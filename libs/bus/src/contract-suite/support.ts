import { command, event, job, query } from "@gantry/contracts";
import { isGantryError } from "@gantry/kernel";
import { waitFor } from "@gantry/testkit";
import { Type as T } from "typebox";
import type { DeadLetter } from "../dead-letters.ts";
import type { QueueLimits } from "../limits.ts";
import type { Bus } from "../port.ts";

/** A message as a stranger would put it into a queue: its body may be anything. */
export interface RawSend {
  /** The queue, as handlers know it. */
  readonly queue: string;
  readonly id: string;
  readonly name: string;
  readonly body: string;
}

/** Small, so that a test fills a queue in no time. A harness opens its buses with these. */
export const SUITE_LIMITS: QueueLimits = {
  commands: { messages: 300, bytes: 1024 * 1024 },
  queries: { messages: 300, bytes: 1024 * 1024 },
  job: { messages: 300, bytes: 1024 * 1024 },
  group: { messages: 300, bytes: 1024 * 1024 },
  subscriber: { messages: 300, bytes: 1024 * 1024 },
  dead: { messages: 50, bytes: 1024 * 1024 },
};

/** A broker, new for the suite. */
export interface BusHarness extends AsyncDisposable {
  /** A bus of a process of its own, on the broker. The suite disposes it. */
  open(service: string): Promise<Bus>;
  /** Puts a message into a queue without this library's checks. */
  sendRaw(message: RawSend): Promise<void>;
}

/** What the tests of one subject work with: two buses on one broker. */
export interface Suite {
  readonly harness: BusHarness;
  readonly a: Bus;
  readonly b: Bus;
}

export const Text = T.Object({ text: T.String({ maxLength: 100_000 }), n: T.Optional(T.Integer()) });
export const Heard = T.Object({ heard: T.String() });
export const say = command("suite.word.say.v1", Text, Heard);
export const ask = query("suite.word.ask.v1", Text, Heard);
export const tell = command("node.word.tell.v1", Text, Heard);
export const toil = job("suite.word.toil.v1", Text);
export const happened = event("suite.word.happened.v1", Text);

export const echo = async ({ text }: { text: string }) => ({ heard: text });
export const coded = (code: string) => (error: unknown) => isGantryError(error, code);

/** The dead letters of a queue, as soon as there are that many. */
export async function letters({ a }: Suite, queue: string, count: number): Promise<DeadLetter[]> {
  return await waitFor(async () => {
    const found = await a.deadLetters.list(queue);
    return found.length >= count ? found : null;
  }, { what: `${count} dead letters of ${queue}` });
}

/** Counts how many run at the same time. */
export function gauge() {
  let running = 0;
  const load = {
    most: 0,
    handler: async () => {
      load.most = Math.max(load.most, ++running);
      await new Promise((resolve) => setTimeout(resolve, 15));
      running--;
      return { heard: "" };
    },
  };
  return load;
}
