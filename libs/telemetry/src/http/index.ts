export { pathTemplate, startClientSpan, type ClientSpan, type SentRequest } from "./client.ts";
export { observeRequest, type ServedRequest } from "./server.ts";
