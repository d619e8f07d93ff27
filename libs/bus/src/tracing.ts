import {
  ROOT_CONTEXT, SpanKind, SpanStatusCode, context, propagation, trace, type Attributes, type Counter, type Histogram, type Meter, type Span, type Tracer,
} from "@opentelemetry/api";
import { isGantryError } from "@gantry/kernel";

/**
 * Spans and metrics of the bus, by OpenTelemetry's semantic conventions for messaging (names as of semconv 1.3x).
 * Without an SDK registered, spans are no-ops; without a meter, nothing is measured.
 */
export class Tracing {
  readonly #tracer: Tracer = trace.getTracer("@gantry/bus");
  readonly #system: string;
  readonly #sent: Counter | undefined;
  readonly #consumed: Counter | undefined;
  readonly #operation: Histogram | undefined;
  readonly #process: Histogram | undefined;

  /** `system`: `rabbitmq`, or `gantry.local` for the bus within a process. */
  constructor(system: string, meter: Meter | undefined) {
    this.#system = system;
    const seconds = { unit: "s", advice: { explicitBucketBoundaries: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30] } };
    this.#sent = meter?.createCounter("messaging.client.sent.messages");
    this.#consumed = meter?.createCounter("messaging.client.consumed.messages");
    this.#operation = meter?.createHistogram("messaging.client.operation.duration", seconds);
    this.#process = meter?.createHistogram("messaging.process.duration", seconds);
  }

  /** A span around a publish (and the wait for its reply, where there is one). The work gets headers that carry the span. */
  send<T>(destination: string, name: string, messageId: string, awaitsReply: boolean, work: (headers: Record<string, string>) => Promise<T>): Promise<T> {
    const attributes = this.#attributes("send", destination, name, messageId);
    const span = this.#tracer.startSpan(`send ${destination}`, { kind: awaitsReply ? SpanKind.CLIENT : SpanKind.PRODUCER, attributes });
    const within = trace.setSpan(context.active(), span);
    const headers: Record<string, string> = {};
    propagation.inject(within, headers);
    return this.#run(span, within, attributes, this.#sent, this.#operation, () => work(headers));
  }

  /** A span around one handling, child of the span in the headers. */
  process<T>(destination: string, name: string, messageId: string, headers: Record<string, string>, work: () => Promise<T>): Promise<T> {
    const parent = propagation.extract(ROOT_CONTEXT, headers);
    const attributes = this.#attributes("process", destination, name, messageId);
    const span = this.#tracer.startSpan(`process ${destination}`, { kind: SpanKind.CONSUMER, attributes }, parent);
    return this.#run(span, trace.setSpan(parent, span), attributes, this.#consumed, this.#process, work);
  }

  #attributes(type: "send" | "process", destination: string, name: string, messageId: string): Attributes {
    return {
      "messaging.system": this.#system,
      "messaging.operation.type": type,
      "messaging.operation.name": type,
      "messaging.destination.name": destination,
      "messaging.message.id": messageId,
      "gantry.message.name": name,
    };
  }

  async #run<T>(span: Span, within: ReturnType<typeof context.active>, attributes: Attributes, counter: Counter | undefined, histogram: Histogram | undefined, work: () => Promise<T>): Promise<T> {
    const started = histogram === undefined ? 0 : performance.now();
    let errorType: string | undefined;
    try {
      return await context.with(within, work);
    } catch (error) {
      errorType = isGantryError(error) ? error.code : error instanceof Error ? error.name : "_OTHER";
      span.setAttribute("error.type", errorType);
      span.setStatus({ code: SpanStatusCode.ERROR, message: error instanceof Error ? error.message : String(error) });
      throw error;
    } finally {
      span.end();
      if (histogram !== undefined) {
        const { "messaging.message.id": _id, ...dimensions } = attributes;
        if (errorType !== undefined) dimensions["error.type"] = errorType;
        counter?.add(1, dimensions);
        histogram.record((performance.now() - started) / 1000, dimensions);
      }
    }
  }
}
