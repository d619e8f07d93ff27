import { randomUUID } from "node:crypto";
import type { Writable } from "node:stream";
import { buildCachePrune, buildCancel, buildSubmit, fail } from "@gantry/contracts";
import { describeError, newId } from "@gantry/kernel";
import { type Backend, patient } from "../backend.ts";
import { requireBuildNetwork } from "../domain/access.ts";
import type { BuildLogLine } from "../domain/build-log.ts";
import { parseBuildRequest } from "../domain/build-options.ts";
import { parseRegistryConfig } from "../domain/credentials.ts";
import { FILTERS, parseFilters } from "../domain/filters.ts";
import { bool, text } from "../domain/query.ts";
import { followBuild } from "../streams/follow-build.ts";
import { storeContext } from "../streams/store-context.ts";
import type { Exchange, Route } from "./exchange.ts";

type BuildBackend = Pick<Backend, "bus" | "http" | "content" | "clock" | "logger" | "maxContextBytes">;

export function buildRoutes(backend: BuildBackend): Route[] {
  return [
    { method: "POST", path: "/build", handle: (x) => build(backend, x) },
    { method: "POST", path: "/build/cancel", handle: async (x) => {
      await backend.bus.call(buildCancel, { id: text(x.query, "id") });
      return x.empty();
    } },
    { method: "POST", path: "/build/prune", handle: async (x) => {
      parseFilters(x.query.get("filters"), FILTERS.buildPrune);
      const { deleted, spaceReclaimed } = await backend.bus.call(buildCachePrune, { all: bool(x.query, "all") }, patient(x));
      return x.json({ CachesDeleted: deleted, SpaceReclaimed: spaceReclaimed });
    } },
  ];
}

/** Context into the image store, job into the queue, its log to the client. A client that goes away cancels the job. */
async function build(backend: BuildBackend, x: Exchange): Promise<void> {
  const { bus, logger } = backend;
  const { spec, remote } = parseBuildRequest(x.query, parseRegistryConfig(x.header("x-registry-config")));
  requireBuildNetwork(x.identity, spec.networkMode);
  const { gone } = x;
  const { digest, size } = await storeContext(backend.content, x.request.raw, { remote, maxBytes: backend.maxContextBytes, signal: gone });
  const id = newId();
  logger.debug({ build: id, context: digest, bytes: size }, "build context stored");
  const cancel = (): void => {
    bus.send(buildCancel, { id }).catch((error: unknown) => logger.warn({ build: id, error: describeError(error) }, "cannot cancel the build of a client that went away"));
  };
  const { logs } = await bus.call(buildSubmit, { id, spec: { ...spec, context: digest } }, { key: randomUUID() });
  if (gone.aborted) return cancel();
  gone.addEventListener("abort", cancel, { once: true });
  try {
    await relay(backend, x, logs, id);
  } finally {
    gone.removeEventListener("abort", cancel);
  }
}

/** Until the first line there is no head, so that a build that fails at once (a Dockerfile that does not parse) is refused as such. */
async function relay(backend: BuildBackend, x: Exchange, address: string, id: string): Promise<void> {
  let output: Writable | null = null;
  let told = false;
  try {
    for await (const rows of followBuild(backend, { id, from: 0, address, follow: true }, x.gone)) {
      if (rows.length === 0) continue;
      const end = rows.find((row) => row.kind === "end");
      const lines = messages(rows);
      told ||= lines.some((line) => "error" in line);
      if (output === null) refuseEarly(lines, end);
      output ??= x.open("application/json");
      if (end !== undefined && !told && (end.error !== null || end.state === "failed" || end.state === "cancelled")) {
        const message = end.error ?? (end.state === "cancelled" ? "build cancelled" : "build failed");
        lines.push({ errorDetail: { message }, error: message });
      }
      const data = lines.map((line) => `${JSON.stringify(line)}\r\n`).join("");
      if (data !== "" && !output.write(data)) await drained(output, x.gone);
    }
  } catch (error) {
    if (x.gone.aborted) return;
    if (output === null) throw error;
    const message = error instanceof Error ? error.message : String(error);
    output.write(`${JSON.stringify({ errorDetail: { message }, error: message })}\r\n`);
  }
  output?.end();
}

/** Throws BUILD_FAILED where all that a build has said is why it cannot be. */
function refuseEarly(lines: readonly Record<string, unknown>[], end: BuildLogLine | undefined): void {
  const first = lines[0];
  if (first !== undefined && typeof first["error"] === "string") throw fail("BUILD_FAILED", first["error"]);
  if (first === undefined && end?.kind === "end" && end.error !== null) throw fail("BUILD_FAILED", end.error);
}

function messages(rows: readonly BuildLogLine[]): Record<string, unknown>[] {
  return rows.flatMap((row) => (row.kind === "message" ? [row.message] : []));
}

function drained(output: Writable, gone: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(gone.reason);
    gone.addEventListener("abort", abort, { once: true });
    output.once("drain", () => { gone.removeEventListener("abort", abort); resolve(); });
  });
}
