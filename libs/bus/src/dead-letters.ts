import { createHash } from "node:crypto";
import { fail } from "@gantry/contracts";
import { isGantryError, type GantryError } from "@gantry/kernel";
import { familyOf } from "./consumers.ts";
import type { Message } from "./message.ts";

/** A message that could not be handled, with the reason. */
export interface DeadLetter {
  /** 12 hex digits: of the queue, and the message's name and key. */
  readonly id: string;
  /** The queue it was in: `scheduler`, `node.<id>`, `job.<contract>`, `group.<group>`, `subscriber`. */
  readonly queue: string;
  /** As it was sent: the same key and trace. */
  readonly message: Message;
  /** Code and message of the last error. */
  readonly code: string;
  readonly reason: string;
  readonly attempts: number;
  /** Of the service that gave it up; RFC 3339, null where the broker did. */
  readonly firstFailedAt: string | null;
  readonly lastFailedAt: string | null;
  /** The service whose handler failed; empty where the broker gave it up because its consumers died over it. */
  readonly service: string;
  /** How it came into the queue. The local bus has no exchanges but `events`. */
  readonly exchange: string;
  readonly routingKey: string;
}

export interface Retried {
  readonly retried: number;
  readonly kept: number;
  /** Why the first of those was kept. */
  readonly reason: string | null;
}

/**
 * What could not be handled. Kept for each family of queues (an owner's commands, those of all nodes, a job, a group, all subscribers),
 * the newest ten thousand; an older one that must go is logged.
 */
export interface DeadLetters {
  /** Oldest first within a family, at most `limit`. Without `queue`: of every queue that the contracts know. */
  list(queue?: string, limit?: number): Promise<DeadLetter[]>;
  /** NOT_FOUND. */
  get(id: string, queue?: string): Promise<DeadLetter>;
  /**
   * Gives the message back to its queue, with the key and trace it had, and forgets the letter once the queue has it: so two who retry
   * at once do it once, and a crash in between may deliver it twice, with one key. NOT_FOUND; QUEUE_FULL and UNAVAILABLE (its
   * subscriber is gone) keep the letter.
   */
  retry(id: string, queue?: string): Promise<DeadLetter>;
  /** Does so with all of them, in their order; those that must be kept do not hold up the others. */
  retryAll(queue?: string): Promise<Retried>;
  /** Forgets it. NOT_FOUND. */
  drop(id: string, queue?: string): Promise<DeadLetter>;
}

export function deadLetterId(queue: string, message: Pick<Message, "name" | "id">): string {
  return createHash("sha256").update(`${queue}\0${message.name}\0${message.id}`).digest("hex").slice(0, 12);
}

export function noSuchLetter(id: string): GantryError {
  return fail("NOT_FOUND", `no such dead letter: ${id}`);
}

export function sourceGone({ id, queue }: DeadLetter): GantryError {
  return fail("UNAVAILABLE", `the queue of dead letter ${id} (${queue}) is gone: it can only be dropped`);
}

/** Whether a letter is one of the queue, or of the family, of that name. */
export function isOf(letter: DeadLetter, queue: string | undefined): boolean {
  return queue === undefined || letter.queue === queue || familyOf(letter.queue) === queue;
}

/** As {@link DeadLetters.retryAll}: a coded error keeps a letter, any other ends it. */
export async function retryEach<T>(letters: readonly T[], retry: (letter: T) => Promise<void>): Promise<Retried> {
  const errors: string[] = [];
  for (const letter of letters) {
    try {
      await retry(letter);
    } catch (error) {
      if (!isGantryError(error)) throw error;
      errors.push(error.message);
    }
  }
  return { retried: letters.length - errors.length, kept: errors.length, reason: errors[0] ?? null };
}
