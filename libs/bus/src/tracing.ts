import { ROOT_CONTEXT, SpanKind, context, propagation, trace, type Context, type Span } from "@opentelemetry/api";
import { isGantryError } from "@gantry/kernel";
import { counter, histogram, metric, type LabelValues } from "@gantry/telemetry/metrics";
import { recordFailure, withSpan } from "@gantry/telemetry/trace";

const tracer = trace.getTracer("@gantry/bus");
const instruments = {
  send: { count: counter(metric.messagesSent), duration: histogram(metric.messageSendDuration) },
  process: { count: counter(metric.messagesConsumed), duration: histogram(metric.messageProcessDuration) },
};
const buried = counter(metric.deadLetters);

type System = LabelValues<typeof metric.messagesSent.labels>["messaging.system"];

/** One message on its way, as spans and metrics tell of it. */
interface Told {
  readonly operation: "send" | "process";
  readonly destination: string;
  /** The message's contract. */
  readonly name: string;
  readonly messageId: string;
}

/** Spans and metrics of the bus, by OpenTelemetry's semantic conventions for messaging (names as of semconv 1.3x). */
export class Tracing {
  readonly #system: System;

  /** `gantry.local`: the bus within a process. */
  constructor(system: System) {
    this.#system = system;
  }

  /** A span around a publish (and the wait for its reply, where there is one). The work gets headers that carry the span. */
  send<T>(destination: string, name: string, messageId: string, awaitsReply: boolean, work: (headers: Record<string, string>) => Promise<T>): Promise<T> {
    const told: Told = { operation: "send", destination, name, messageId };
    const active = context.active();
    const span = this.#start(told, awaitsReply ? SpanKind.CLIENT : SpanKind.PRODUCER, active);
    const within = withSpan(active, span);
    const headers: Record<string, string> = {};
    propagation.inject(within, headers);
    return this.#run(told, span, within, () => work(headers));
  }

  /** A span around one handling, child of the span in the headers. */
  process<T>(destination: string, name: string, messageId: string, headers: Record<string, string>, work: () => Promise<T>): Promise<T> {
    const parent = propagation.extract(ROOT_CONTEXT, headers);
    const told: Told = { operation: "process", destination, name, messageId };
    const span = this.#start(told, SpanKind.CONSUMER, parent);
    return this.#run(told, span, withSpan(parent, span), work);
  }

  #start({ operation, destination, name, messageId }: Told, kind: SpanKind, parent: Context): Span {
    const template = destinationTemplate(destination);
    return tracer.startSpan(`${operation} ${template}`, {
      kind,
      attributes: {
        "messaging.system": this.#system,
        "messaging.operation.type": operation,
        "messaging.operation.name": operation,
        "messaging.destination.name": destination,
        ...(template === destination ? {} : { "messaging.destination.template": template }),
        "messaging.message.id": messageId,
        "gantry.message.name": name,
      },
    }, parent);
  }

  async #run<T>(told: Told, span: Span, within: Context, work: () => Promise<T>): Promise<T> {
    const started = performance.now();
    let errorType: string | undefined;
    try {
      return await context.with(within, work);
    } catch (error) {
      errorType = isGantryError(error) ? error.code : error instanceof Error ? error.name : "_OTHER";
      recordFailure(span, error);
      throw error;
    } finally {
      span.end();
      const labels = {
        "messaging.system": this.#system, "messaging.operation.name": told.operation, "messaging.destination.name": destinationTemplate(told.destination),
        "gantry.message.name": told.name, ...(errorType === undefined ? {} : { "error.type": errorType }),
      };
      const { count, duration } = instruments[told.operation];
      count.add(1, labels);
      duration.record((performance.now() - started) / 1000, labels);
    }
  }
}

/** Counts a message that was moved to the dead letters. */
export function countDeadLetter(destination: string, name: string, code: string): void {
  buried.add(1, { "messaging.destination.name": destinationTemplate(destination), "gantry.message.name": name, "error.type": code });
}

/** Each node's queue has its ID in its name, which has no place in the names of spans and series. */
function destinationTemplate(destination: string): string {
  return destination.startsWith("node.") ? "node.{id}" : destination;
}
