import type { Channel } from "amqplib";
import type { Declaration, Exchange } from "./topology.ts";

export async function declareExchanges(channel: Channel, exchanges: readonly Exchange[]): Promise<void> {
  await Promise.all(exchanges.map(({ name, type }) => channel.assertExchange(name, type, { durable: true })));
}

/** Declares queues, then their bindings. CONFLICT-like errors of the broker (406, 405) close the channel and go to the caller. */
export async function declare(channel: Channel, { queues, bindings }: Declaration): Promise<void> {
  await Promise.all(queues.map(({ name, durable, exclusive, autoDelete, arguments: args }) => channel.assertQueue(name, { durable, exclusive, autoDelete, arguments: args })));
  await Promise.all(bindings.map(({ exchange, queue, routingKey }) => channel.bindQueue(queue, exchange, routingKey)));
}
