import type { Topology } from "./topology.ts";

/**
 * What RabbitMQ's `load_definitions` reads: a virtual host with everything of the topology that does not depend on who runs, and
 * policies. No users: their passwords are no part of the source.
 */
export function definitionsOf(topology: Topology, vhost: string): Record<string, unknown> {
  const { exchanges, queues, bindings } = topology.fixed();
  const own = topology.namespace.replaceAll(/[^a-z0-9-]/g, "\\$&");
  return {
    vhosts: [{ name: vhost }],
    permissions: [],
    policies: [
      // On a cluster of brokers the leaders of new quorum queues are spread, rather than all where the first client connected.
      { vhost, name: `${topology.namespace}-spread`, pattern: `^${own}\\.`, "apply-to": "queues", priority: 0, definition: { "queue-leader-locator": "balanced" } },
    ],
    exchanges: exchanges.map(({ name, type }) => ({ vhost, name, type, durable: true, auto_delete: false, internal: false, arguments: {} })),
    queues: queues.map(({ name, durable, autoDelete, arguments: args }) => ({ vhost, name, durable, auto_delete: autoDelete, arguments: args })),
    bindings: bindings.map(({ exchange, queue, routingKey }) => ({ vhost, source: exchange, destination: queue, destination_type: "queue", routing_key: routingKey, arguments: {} })),
  };
}
