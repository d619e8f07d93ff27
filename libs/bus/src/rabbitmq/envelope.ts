import type { ConsumeMessage, GetMessage, Options } from "amqplib";
import type { Message } from "../message.ts";

/** However it was fetched. */
export type RawMessage = ConsumeMessage | GetMessage;

/** A message as AMQP properties: `type` is the contract's name, `messageId` the key, headers the trace context. */
export function toProperties(message: Message, service: string): Options.Publish {
  return {
    contentType: "application/json", contentEncoding: "utf-8", type: message.name, messageId: message.id, appId: service,
    timestamp: Math.floor(Date.now() / 1000), headers: message.headers,
  };
}

export function toContent(message: Message): Buffer {
  return Buffer.from(message.body, "utf8");
}

const TRACE_HEADERS = ["traceparent", "tracestate", "baggage"];

export function toMessage({ content, properties }: RawMessage): Message {
  const headers: Record<string, string> = {};
  for (const name of TRACE_HEADERS) {
    const value: unknown = properties.headers?.[name];
    if (typeof value === "string") headers[name] = value;
  }
  return { id: String(properties.messageId ?? ""), name: String(properties.type ?? ""), body: content.toString("utf8"), headers };
}

/** How often a quorum queue's delivery of this message failed before; 0 for other queues. */
export function failedDeliveries({ properties }: ConsumeMessage): number {
  const count: unknown = properties.headers?.["x-delivery-count"];
  return typeof count === "number" && count > 0 ? count : 0;
}
