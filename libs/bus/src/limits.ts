const MiB = 1024 * 1024;

/** Where a queue is full. */
export interface QueueLimit {
  readonly messages: number;
  readonly bytes: number;
}

export type QueueKind = "commands" | "queries" | "job" | "group" | "subscriber" | "dead";
export type QueueLimits = Readonly<Record<QueueKind, QueueLimit>>;

/**
 * What a queue keeps. Past it a queue of commands, queries, jobs or a group refuses more with QUEUE_FULL; a subscriber's own queue and
 * the dead letters lose the oldest.
 */
export const QUEUE_LIMITS: QueueLimits = {
  commands: { messages: 10_000, bytes: 64 * MiB },
  queries: { messages: 10_000, bytes: 64 * MiB },
  job: { messages: 100_000, bytes: 64 * MiB },
  group: { messages: 100_000, bytes: 128 * MiB },
  subscriber: { messages: 20_000, bytes: 32 * MiB },
  dead: { messages: 10_000, bytes: 128 * MiB },
};

/** Bounds that hold for every implementation. */
export const LIMITS = {
  /** Bytes of one serialized body or reply. RabbitMQ 4 refuses messages above 16 MiB. */
  messageBytes: 15 * MiB,
  /** How long a subscriber that lost its connection finds its events again. */
  subscriberKeptMs: 10 * 60 * 1000,
  callTimeoutMs: 30_000,
  heartbeatSeconds: 10,
  /** Calls of one process that wait for their reply. */
  calls: 10_000,
  /** Messages of one process that the broker has not confirmed, and as many again that wait to be sent. */
  unconfirmed: 1_000,
  waitingPublishers: 10_000,
  concurrency: 64,
  maxAttempts: 3,
  /** How long a handler that says UNAVAILABLE is tried again, with pauses up to the second one, before that counts as a failed attempt. */
  patienceMs: 10 * 60 * 1000,
  patiencePauseMs: 5_000,
  /** How long a consumer that is being closed waits for its handlers before it returns their messages. */
  closeGraceMs: 10_000,
  /** Replies to commands a server remembers, to answer a repeated one; and events a subscriber remembers. */
  rememberedReplies: 1_000,
} as const;
