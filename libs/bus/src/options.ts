import type { Clock, Logger } from "@gantry/kernel";

export interface BusOptions {
  /** Who sends and consumes: the connection's name at the broker, and `service` of its log lines. */
  readonly service: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /**
   * The broker and this process each end a connection on which they heard nothing for two to three times as long; seconds, default 10.
   * A process that is cut off or stopped keeps its messages until then.
   */
  readonly heartbeatSeconds?: number;
  /** First part of every exchange and queue name at the broker; default `gantry`. Several fleets may share a broker. */
  readonly namespace?: string;
}

/** Bounds that hold for every implementation. */
export const LIMITS = {
  /** Bytes of one serialized body or reply. RabbitMQ 4 refuses messages above 16 MiB. */
  messageBytes: 15 * 1024 * 1024,
  /** Messages a queue keeps before it refuses more with QUEUE_FULL. */
  queueLength: 100_000,
  /** Events kept for a subscriber without a group. */
  subscriberLength: 20_000,
  /** Dead letters kept per queue, the newest. */
  deadLetters: 10_000,
  callTimeoutMs: 30_000,
  heartbeatSeconds: 10,
  concurrency: 64,
  maxAttempts: 3,
  /** How long a consumer that is being closed waits for its handlers before it returns their messages. */
  closeGraceMs: 10_000,
  /** Replies to commands a server remembers, to answer a repeated one. */
  rememberedReplies: 1_000,
} as const;
