export { observeApp } from "./app.ts";
export { pathTemplate, startClientSpan, type ClientSpan, type SentRequest } from "./client.ts";
export { nameRoute, observeRequest, type ServedRequest } from "./server.ts";
