import { context, propagation, ROOT_CONTEXT } from "@opentelemetry/api";

/** The active trace context as headers in JSON; null where there is none, which is all of the time without an exporter. */
export function activeTrace(): string | null {
  const headers: Record<string, string> = {};
  propagation.inject(context.active(), headers);
  for (const _ in headers) return JSON.stringify(headers);
  return null;
}

/** Works within that trace context, and in none other. */
export function withinTrace<T>(headers: string | null, work: () => T): T {
  return context.with(headers === null ? ROOT_CONTEXT : propagation.extract(ROOT_CONTEXT, JSON.parse(headers)), work);
}
