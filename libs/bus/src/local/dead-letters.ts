import type { Logger } from "@gantry/kernel";
import { familyOf } from "../consumers.ts";
import { isOf, noSuchLetter, retryEach, sourceGone, type DeadLetter, type DeadLetters, type Retried } from "../dead-letters.ts";
import type { QueueLimit } from "../limits.ts";
import { countDeadLetter } from "../tracing.ts";
import type { LocalQueue } from "./queue.ts";

interface Buried { readonly letter: DeadLetter; readonly source: LocalQueue }
interface Family { letters: Buried[]; size: number }

/** The dead letters of a local broker, by family of queues. */
export class LocalDeadLetters implements DeadLetters {
  readonly #families = new Map<string, Family>();
  readonly #logger: Logger;
  readonly #limit: QueueLimit;

  constructor(logger: Logger, limit: QueueLimit) {
    this.#logger = logger;
    this.#limit = limit;
  }

  bury(letter: DeadLetter, source: LocalQueue): void {
    const about = { queue: letter.queue, message: letter.message.name, messageId: letter.message.id, code: letter.code, attempts: letter.attempts };
    countDeadLetter(letter.queue, letter.message.name, letter.code);
    this.#logger.error(about, `dead-lettered ${letter.message.name}: ${letter.reason}`);
    const name = familyOf(letter.queue);
    const family = this.#families.get(name) ?? { letters: [], size: 0 };
    this.#families.set(name, family);
    family.letters.push({ letter, source });
    family.size += letter.message.body.length;
    const { messages, bytes } = this.#limit;
    while (family.letters.length > messages || family.size > bytes) {
      const oldest = family.letters.shift()!.letter;
      family.size -= oldest.message.body.length;
      this.#logger.error({ queue: oldest.queue, message: oldest.message.name, messageId: oldest.message.id }, "the dead letters are full: the oldest is lost");
    }
  }

  async list(queue?: string, limit = Infinity): Promise<DeadLetter[]> {
    const found: DeadLetter[] = [];
    for (const { letters } of this.#families.values()) {
      for (const { letter } of letters) {
        if (found.length >= limit) return found;
        if (isOf(letter, queue)) found.push(letter);
      }
    }
    return found;
  }

  async get(id: string, queue?: string): Promise<DeadLetter> {
    const letter = (await this.list(queue)).find((it) => it.id === id);
    if (letter === undefined) throw noSuchLetter(id);
    return letter;
  }

  async retry(id: string, queue?: string): Promise<DeadLetter> {
    return this.#settle(id, queue, giveBack);
  }

  async retryAll(queue?: string): Promise<Retried> {
    return await retryEach(await this.list(queue), async ({ id }) => { this.#settle(id, queue, giveBack); });
  }

  async drop(id: string, queue?: string): Promise<DeadLetter> {
    return this.#settle(id, queue, () => {});
  }

  #settle(id: string, queue: string | undefined, work: (buried: Buried) => void): DeadLetter {
    for (const family of this.#families.values()) {
      const found = family.letters.find(({ letter }) => letter.id === id && isOf(letter, queue));
      if (found === undefined) continue;
      work(found);
      family.letters = family.letters.filter(({ letter }) => letter.id !== id);
      family.size = family.letters.reduce((size, { letter }) => size + letter.message.body.length, 0);
      return found.letter;
    }
    throw noSuchLetter(id);
  }
}

function giveBack({ letter, source }: Buried): void {
  if (letter.queue === "subscriber" && !source.served) throw sourceGone(letter);
  source.push({ message: letter.message, answer: null, lost: null, deliveries: 0 });
}
