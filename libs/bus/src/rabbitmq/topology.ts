import { ADDRESSED_OWNERS, EVENT_GROUPS, allContracts, commandOwners } from "@gantry/contracts";
import { familyOf, singleActive } from "../consumers.ts";
import { LIMITS, QUEUE_LIMITS, type QueueKind, type QueueLimits } from "../limits.ts";

export interface Exchange {
  readonly name: string;
  readonly type: "topic" | "direct";
}

export interface Binding {
  readonly exchange: string;
  readonly queue: string;
  readonly routingKey: string;
}

/** A queue as it is declared: the properties are the same whoever declares it, or the broker refuses (406). */
export interface Queue {
  readonly name: string;
  readonly durable: boolean;
  readonly exclusive: boolean;
  readonly autoDelete: boolean;
  readonly arguments: Readonly<Record<string, string | number | boolean>>;
}

/** A queue with what belongs to it: the queue of its dead letters, and bindings of both. */
export interface Declaration {
  readonly queues: readonly Queue[];
  readonly bindings: readonly Binding[];
}

/**
 * Names and properties of everything Gantry has at the broker, as pure functions of the contracts: what processes declare, and what
 * `infra/rabbitmq/definitions.json` holds. Valid on RabbitMQ 3.10 and 4.x: no mirrored, transient non-exclusive or lazy queues.
 *
 * | exchange | type | for |
 * | --- | --- | --- |
 * | `<ns>.events` | topic | events, by contract name |
 * | `<ns>.presence` | direct | whether anyone serves an owner, by its queue |
 * | `<ns>.dead` | direct | dead letters, by the queues of their kind |
 *
 * | queue | type | for |
 * | --- | --- | --- |
 * | `<ns>.<owner>.commands` | quorum | commands |
 * | `<ns>.<owner>.queries` | classic, goes with its last consumer | queries |
 * | `<ns>.job.<contract>` | quorum | jobs |
 * | `<ns>.group.<group>` | quorum, single active consumer | events of a group |
 * | `<ns>.subscriber.<service>.<random>` | quorum, single active consumer; goes with its subscriber, or when that stays away | events of a subscriber without a group |
 * | `<family>.dead` | quorum | dead letters: of an owner's commands (of all nodes: `<ns>.node.commands.dead`), of a job, of a group, of all subscribers |
 */
export class Topology {
  readonly namespace: string;
  readonly limits: QueueLimits;

  constructor(namespace: string, limits: QueueLimits = QUEUE_LIMITS) {
    this.namespace = namespace;
    this.limits = limits;
  }

  get events(): string { return `${this.namespace}.events`; }
  get presence(): string { return `${this.namespace}.presence`; }
  get dead(): string { return `${this.namespace}.dead`; }
  commands(owner: string): string { return `${this.namespace}.${owner}.commands`; }
  queries(owner: string): string { return `${this.namespace}.${owner}.queries`; }
  job(contract: string): string { return `${this.namespace}.job.${contract}`; }
  group(group: string): string { return `${this.namespace}.group.${group}`; }

  /**
   * Under which routing key the dead letters of a queue are kept, by the queue's name for handlers: `scheduler`, `node.<id>`,
   * `job.<contract>`, `group.<group>`, `subscriber`. Those of all nodes are kept together: a node may never come back.
   */
  deadKey(label: string): string {
    return /^(job|group)\.|^subscriber$/.test(label) ? `${this.namespace}.${label}` : this.commands(familyOf(label));
  }

  get exchanges(): readonly Exchange[] {
    return [{ name: this.events, type: "topic" }, { name: this.presence, type: "direct" }, { name: this.dead, type: "direct" }];
  }

  deadLetters(label: string): Declaration {
    const key = this.deadKey(label);
    const name = `${key}.dead`;
    const queue = this.#durable(name, "dead", {
      "x-overflow": "drop-head",
      // Looking at them gives them back, which counts as a failed delivery; from RabbitMQ 4 on the twentieth would be their end.
      "x-delivery-limit": 1_000_000,
    });
    return { queues: [queue], bindings: [{ exchange: this.dead, queue: name, routingKey: key }] };
  }

  ownerCommands(owner: string, exclusive?: boolean): Declaration {
    return this.#kept(this.commands(owner), owner, "commands", singleActive(owner, exclusive), []);
  }

  jobs(contract: string, exclusive = false): Declaration {
    return this.#kept(this.job(contract), `job.${contract}`, "job", exclusive, []);
  }

  groupEvents(group: string, events: readonly string[]): Declaration {
    return this.#kept(this.group(group), `group.${group}`, "group", true, events);
  }

  /** Goes with its last consumer, or, should the broker be down at that moment, a minute later. */
  ownerQueries(owner: string, exclusive: boolean): Declaration {
    const name = this.queries(owner);
    return { queues: [{
      name, durable: true, exclusive: false, autoDelete: true,
      arguments: { "x-queue-type": "classic", "x-expires": 60_000, ...this.#bounds("queries"), "x-overflow": "reject-publish", ...active(exclusive) },
    }], bindings: [] };
  }

  /**
   * A subscriber's own queue: it outlives a lost connection, so that no event is missed meanwhile. A connection that hangs may still
   * count as consumer for some seconds; as the only active one, so that order is kept.
   */
  subscriber(name: string, events: readonly string[]): Declaration {
    const queue = `${this.namespace}.subscriber.${name}`;
    const dead = this.deadLetters("subscriber");
    return {
      queues: [...dead.queues, this.#durable(queue, "subscriber", { "x-overflow": "drop-head", "x-expires": LIMITS.subscriberKeptMs, "x-delivery-limit": 1_000_000, ...active(true) })],
      bindings: [...dead.bindings, ...this.#bind(queue, events)],
    };
  }

  /** The sign that someone serves an owner: a queue that keeps nothing, and goes when it is deleted or its connection closes. */
  presenceOf(owner: string, sign: string): Declaration {
    const queue = transient(`${this.presence}.${owner}.${sign}`, { "x-max-length": 0 });
    return { queues: [queue], bindings: [{ exchange: this.presence, queue: queue.name, routingKey: owner }] };
  }

  /** A lock: whoever has declared this queue. It goes with its connection, or after two minutes. */
  lock(name: string): Declaration {
    return { queues: [transient(`${this.namespace}.${name}`, { "x-expires": 120_000 })], bindings: [] };
  }

  /** Everything that is there whoever runs: not the queues of nodes, queries, and subscribers without a group. */
  fixed(): Declaration & { readonly exchanges: readonly Exchange[] } {
    const jobs = [...allContracts().values()].filter(({ kind }) => kind === "job").map(({ name }) => name).toSorted();
    const declarations = [
      ...commandOwners().map((owner) => (ADDRESSED_OWNERS.has(owner) ? this.deadLetters(owner) : this.ownerCommands(owner))),
      ...jobs.map((job) => this.jobs(job)),
      ...Object.entries(EVENT_GROUPS).map(([group, events]) => this.groupEvents(group, events.map(({ name }) => name))),
      this.deadLetters("subscriber"),
    ];
    return { exchanges: this.exchanges, queues: declarations.flatMap(({ queues }) => queues), bindings: declarations.flatMap(({ bindings }) => bindings) };
  }

  /** Whose dead letters there may be, as far as the contracts tell. */
  deadLabels(): string[] {
    const prefix = `${this.namespace}.`;
    const keys = this.fixed().bindings.filter(({ exchange }) => exchange === this.dead).map(({ routingKey }) => routingKey.slice(prefix.length));
    return keys.map((key) => (/^(job|group)\.|^subscriber$/.test(key) ? key : key.replace(/\.commands$/, "")));
  }

  /** A queue that keeps everything until it is handled, or refuses it. */
  #kept(name: string, label: string, kind: QueueKind, exclusive: boolean, events: readonly string[]): Declaration {
    const dead = this.deadLetters(label);
    const queue = this.#durable(name, kind, {
      "x-overflow": "reject-publish",
      // The consumer counts attempts and buries with a reason. This is for messages that kill every consumer before it can.
      "x-delivery-limit": 20,
      "x-dead-letter-exchange": this.dead,
      "x-dead-letter-routing-key": this.deadKey(label),
      "x-dead-letter-strategy": "at-least-once",
      ...active(exclusive),
    });
    return { queues: [...dead.queues, queue], bindings: [...dead.bindings, ...this.#bind(name, events)] };
  }

  #durable(name: string, kind: QueueKind, args: Queue["arguments"]): Queue {
    return { name, durable: true, exclusive: false, autoDelete: false, arguments: { "x-queue-type": "quorum", ...this.#bounds(kind), ...args } };
  }

  #bounds(kind: QueueKind): Queue["arguments"] {
    return { "x-max-length": this.limits[kind].messages, "x-max-length-bytes": this.limits[kind].bytes };
  }

  #bind(queue: string, events: readonly string[]): Binding[] {
    return events.map((routingKey) => ({ exchange: this.events, queue, routingKey }));
  }
}

function transient(name: string, args: Queue["arguments"]): Queue {
  return { name, durable: false, exclusive: true, autoDelete: true, arguments: { "x-queue-type": "classic", ...args } };
}

function active(single: boolean): Queue["arguments"] {
  return single ? { "x-single-active-consumer": true } : {};
}
