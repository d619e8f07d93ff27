import { fail } from "@gantry/contracts";
import { sharedBroker } from "./local/broker.ts";
import { createLocalBus } from "./local/bus.ts";
import type { BusOptions } from "./options.ts";
import type { Bus } from "./port.ts";

/**
 * Opens a bus by URL:
 * - `local:` a broker of its own within this process, `local:name` one shared by everyone in this process who opens that name;
 * - `amqp://user:password@host:port/vhost` or `amqps://…` RabbitMQ 3.10 or later. Resolves when connected.
 */
export async function openBus(url: string, options: BusOptions): Promise<Bus> {
  if (url === "local:") return createLocalBus(options);
  if (url.startsWith("local:")) return createLocalBus({ ...options, broker: sharedBroker(url.slice("local:".length), options.logger, options.clock) });
  if (/^amqps?:\/\//.test(url)) {
    // Loaded when it is used: a plain start has no need of the client.
    const { openRabbitBus } = await import("./rabbitmq/bus.ts");
    return await openRabbitBus(url, options);
  }
  throw fail("INVALID", `bus: the URL starts with neither local: nor amqp://`);
}
