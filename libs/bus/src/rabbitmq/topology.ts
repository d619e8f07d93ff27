import type { ConfirmChannel } from "amqplib";
import { LIMITS } from "../options.ts";

/**
 * Names and properties of everything Gantry declares at the broker. A durable queue's properties never depend on options that a
 * caller may change (attempts, concurrency): declaring it again with others would be refused (406).
 *
 * | exchange | type | for |
 * | --- | --- | --- |
 * | `<ns>.events` | topic | events, by contract name |
 * | `<ns>.presence` | direct | whether anyone serves an owner, by its queue |
 * | `<ns>.dead` | direct | dead letters, by the queue they come from |
 *
 * | queue | type | for |
 * | --- | --- | --- |
 * | `<ns>.<owner>.commands` | quorum | commands |
 * | `<ns>.<owner>.queries` | classic, goes with its last consumer | queries |
 * | `<ns>.job.<contract>` | quorum | jobs |
 * | `<ns>.group.<group>` | quorum, single active consumer | events of a group |
 * | (named by the broker) | classic, exclusive | a subscriber without a group |
 * | `<queue>.dead` | quorum | its dead letters, the newest; `<ns>.subscriber.dead` for all subscribers without a group |
 */
export class Topology {
  readonly namespace: string;

  constructor(namespace: string) {
    this.namespace = namespace;
  }

  get events(): string { return `${this.namespace}.events`; }
  get presence(): string { return `${this.namespace}.presence`; }
  get dead(): string { return `${this.namespace}.dead`; }
  commands(owner: string): string { return `${this.namespace}.${owner}.commands`; }
  queries(owner: string): string { return `${this.namespace}.${owner}.queries`; }
  job(contract: string): string { return `${this.namespace}.job.${contract}`; }
  group(group: string): string { return `${this.namespace}.group.${group}`; }
  /** Names no queue: what the dead letters of all subscribers without a group are kept under. */
  get subscriber(): string { return `${this.namespace}.subscriber`; }

  async declareExchanges(channel: ConfirmChannel): Promise<void> {
    await Promise.all([
      channel.assertExchange(this.events, "topic", { durable: true }),
      channel.assertExchange(this.presence, "direct", { durable: true }),
      channel.assertExchange(this.dead, "direct", { durable: true }),
    ]);
  }

  async declareDeadLetters(channel: ConfirmChannel, queue: string): Promise<void> {
    const dead = `${queue}.dead`;
    await channel.assertQueue(dead, { durable: true, arguments: { "x-queue-type": "quorum", "x-max-length": LIMITS.deadLetters, "x-overflow": "drop-head" } });
    await channel.bindQueue(dead, this.dead, queue);
  }

  /** A durable queue, with the queue for its dead letters. */
  async declareDurable(channel: ConfirmChannel, queue: string, singleActive: boolean): Promise<void> {
    await this.declareDeadLetters(channel, queue);
    await channel.assertQueue(queue, {
      durable: true,
      arguments: {
        "x-queue-type": "quorum",
        // The consumer counts attempts and buries with a reason. This is for messages that kill every consumer before it can.
        "x-delivery-limit": 20,
        "x-dead-letter-exchange": this.dead,
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
        "x-max-length": LIMITS.queueLength,
        ...(singleActive ? { "x-single-active-consumer": true } : {}),
      },
    });
  }

  /** A queue that goes with its last consumer, or, should the broker be down at that moment, a minute later. */
  async declareQueries(channel: ConfirmChannel, queue: string, singleActive: boolean): Promise<void> {
    await channel.assertQueue(queue, {
      durable: true, autoDelete: true,
      arguments: {
        "x-queue-type": "classic", "x-expires": 60_000, "x-max-length": LIMITS.queueLength, "x-overflow": "reject-publish",
        ...(singleActive ? { "x-single-active-consumer": true } : {}),
      },
    });
  }

  /** The sign that someone serves the owner: a queue that keeps nothing, and goes when it is deleted or its connection closes. */
  async declarePresence(channel: ConfirmChannel, owner: string, sign: string): Promise<void> {
    const queue = `${this.presence}.${owner}.${sign}`;
    await channel.assertQueue(queue, { exclusive: true, durable: false, autoDelete: true, arguments: { "x-max-length": 0 } });
    await channel.bindQueue(queue, this.presence, owner);
  }

  async deletePresence(channel: ConfirmChannel, owner: string, sign: string): Promise<void> {
    await channel.deleteQueue(`${this.presence}.${owner}.${sign}`);
  }

  /**
   * One process at a time may register as single active consumer of an owner: so all its queues come to know the candidates in the
   * same order, and the same one is active on each. Fails with RESOURCE_LOCKED while another connection holds the lock.
   */
  async lockRegistration(channel: ConfirmChannel, owner: string): Promise<void> {
    await channel.assertQueue(`${this.namespace}.${owner}.registering`, { exclusive: true, durable: false, arguments: { "x-expires": 5_000 } });
  }

  async unlockRegistration(channel: ConfirmChannel, owner: string): Promise<void> {
    await channel.deleteQueue(`${this.namespace}.${owner}.registering`);
  }

  /** A subscriber's own queue; the oldest events go when it is too slow. */
  async declareSubscriber(channel: ConfirmChannel, events: readonly string[]): Promise<string> {
    await this.declareDeadLetters(channel, this.subscriber);
    const { queue } = await channel.assertQueue("", { exclusive: true, durable: false, autoDelete: true, arguments: { "x-max-length": LIMITS.subscriberLength, "x-overflow": "drop-head" } });
    for (const event of events) await channel.bindQueue(queue, this.events, event);
    return queue;
  }

  async bindGroup(channel: ConfirmChannel, queue: string, events: readonly string[]): Promise<void> {
    for (const event of events) await channel.bindQueue(queue, this.events, event);
  }
}
