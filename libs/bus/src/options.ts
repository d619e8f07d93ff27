import type { Clock, Logger } from "@gantry/kernel";
import type { QueueLimits } from "./limits.ts";

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
  /** Where queues are full; default {@link QUEUE_LIMITS}. The same for everyone on a broker: RabbitMQ refuses to change it. */
  readonly limits?: QueueLimits;
}
