/**
 * `node bench/bus-hop.ts [rounds]`: processor time of one call over the bus within a process, with telemetry as it is by default and
 * with an exporter, beside a call through an EventEmitter with JSON on both ways, and one through fastify's `inject`. Blocks of each
 * are interleaved; of each the quickest block. The machine is noisy: ratios count.
 */
import { execFile } from "node:child_process";
import { EventEmitter } from "node:events";
import { promisify } from "node:util";
import fastify from "fastify";
import { createLocalBus, on } from "@gantry/bus";
import { imageStoreInfo } from "@gantry/contracts";
import { systemClock, type Logger } from "@gantry/kernel";
import { startTelemetry } from "@gantry/telemetry";
import { startOtlpReceiver } from "@gantry/testkit";

const BLOCK = 400;

type Times = Record<string, number>;

async function measure(rounds: number): Promise<Times> {
  const quiet: Logger = { debug() {}, info() {}, warn() {}, error() {}, child: () => quiet };
  if (process.env["TELEMETRY"] !== "none") await (await startTelemetry({ service: "bench", version: "", logger: quiet }, process.env)).ready();
  await using bus = createLocalBus({ service: "bench", clock: systemClock, logger: quiet });
  await bus.serve("image-store", [on(imageStoreInfo, async () => ({ images: 1, layersSize: 2 }))]);
  const emitter = new EventEmitter();
  emitter.on("ask", (text: string, answer: (text: string) => void) => setImmediate(() => answer(JSON.stringify({ ...JSON.parse(text) as object, layersSize: 2 }))));
  const app = fastify();
  app.post("/", async () => ({ images: 1, layersSize: 2 }));
  await app.ready();
  const works: Record<string, () => Promise<unknown>> = {
    bus: () => bus.call(imageStoreInfo, {}),
    emitter: async () => JSON.parse(await new Promise<string>((resolve) => emitter.emit("ask", JSON.stringify({ images: 1 }), resolve))) as unknown,
    inject: () => app.inject({ method: "POST", url: "/", payload: {} }),
  };
  const times: Record<string, number[]> = {};
  for (let round = -2; round < rounds; round++) {
    for (const [name, work] of Object.entries(works)) {
      const before = process.cpuUsage();
      for (let i = 0; i < BLOCK; i++) await work();
      const { user, system } = process.cpuUsage(before);
      if (round >= 0) (times[name] ??= []).push((user + system) / BLOCK);
    }
  }
  return Object.fromEntries(Object.entries(times).map(([name, values]) => [name, Math.min(...values)]));
}

if (process.argv[2] === "child") {
  console.log(JSON.stringify(await measure(Number(process.argv[3]))));
  process.exit();
}
const rounds = Number(process.argv[2] ?? 40);
await using receiver = await startOtlpReceiver();
const variants: [string, Record<string, string>][] = [["no telemetry at all", { TELEMETRY: "none" }], ["default: no exporter", {}], ["traces, metrics and logs exported", { ...receiver.env, OTEL_BSP_SCHEDULE_DELAY: "5000", OTEL_METRIC_EXPORT_INTERVAL: "10000" }]];
console.log(`one call, µs of processor time, ${rounds} interleaved blocks of ${BLOCK}`);
console.log(`${"".padEnd(36)}${["bus", "emitter", "inject"].map((name) => name.padStart(9)).join("")}   bus / emitter   bus / inject`);
for (const [name, env] of variants) {
  const { stdout } = await promisify(execFile)(process.execPath, [import.meta.filename, "child", String(rounds)], { env: { PATH: process.env["PATH"] ?? "", ...env } });
  const { bus = 0, emitter = 1, inject = 1 } = JSON.parse(stdout) as Times;
  console.log(name.padEnd(36) + [bus, emitter, inject].map((value) => value.toFixed(1).padStart(9)).join("") + `${(bus / emitter).toFixed(2).padStart(12)}${(bus / inject).toFixed(2).padStart(15)}`);
}
