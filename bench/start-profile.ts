/**
 * Where each millisecond of a start goes: `node bench/start-profile.ts [rounds]`, or `npm run bench -- profile [rounds]`. One container
 * at a time runs `true` without and with the bridge, beside `crun run` and libs/runtime alone, in turn; prints medians. Measured from
 * outside (HTTP over a kept socket, the container's own times) and by the spans that the services make anyway. The last lines count
 * with strace what a start executes, forks and syncs.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { Agent } from "node:http";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Engine } from "../tests/e2e/support/engine.ts";
import { CrunPeer } from "./crun-peer.ts";
import { RuntimeBench } from "./runtime-start.ts";
import type { RecordedSpan } from "./span-recorder.ts";
import { httpJson } from "./start-exit.ts";

const WARM_UP = 5;
const NETWORKS = ["none", "bridge"] as const;
type Network = (typeof NETWORKS)[number];

/** When each step of one container's life was seen from outside; milliseconds since the epoch. */
interface Seen { create: number; created: number; start: number; answered: number; startedAt: number; finishedAt: number; waited: number; remove: number; removed: number }

const now = (): number => performance.timeOrigin + performance.now();
const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

/** RFC 3339 with nanoseconds, as milliseconds since the epoch with fractions. */
function instant(text: string): number {
  const [seconds = "", fraction = ""] = text.replace("Z", "").split(".");
  return Date.parse(`${seconds}Z`) + Number(`0.${fraction || "0"}`) * 1000;
}

class Client implements Disposable {
  readonly #agent = new Agent({ keepAlive: true });
  readonly #socket: string;
  constructor(socket: string) { this.#socket = socket; }

  call(method: string, path: string, body?: unknown): Promise<unknown> {
    return httpJson(this.#agent, this.#socket, method, path, body);
  }

  async container(network: Network): Promise<Seen> {
    const create = now();
    const { Id } = await this.call("POST", "/containers/create", { Image: "busybox", Cmd: ["/bin/true"], HostConfig: { NetworkMode: network } }) as { Id: string };
    const created = now();
    const waiting = this.call("POST", `/containers/${Id}/wait?condition=next-exit`).then(() => now());
    const start = now();
    await this.call("POST", `/containers/${Id}/start`);
    const answered = now();
    const waited = await waiting;
    const { State } = await this.call("GET", `/containers/${Id}/json`) as { State: { StartedAt: string; FinishedAt: string; ExitCode: number } };
    if (State.ExitCode !== 0) throw new Error(`true ended with ${State.ExitCode}`);
    const remove = now();
    await this.call("DELETE", `/containers/${Id}`);
    return { create, created, start, answered, startedAt: instant(State.StartedAt), finishedAt: instant(State.FinishedAt), waited, remove, removed: now() };
  }

  [Symbol.dispose](): void { this.#agent.destroy(); }
}

/** Of the spans within a time, the longest that handles a message at its owner; 0 where there is none. */
function handling(spans: readonly RecordedSpan[], message: string, from: number, to: number): RecordedSpan | null {
  const found = spans.filter((span) => span.name.startsWith("process ") && span.attributes["gantry.message.name"] === message && span.start >= from && span.end <= to);
  return found.sort((a, b) => b.end - b.start - (a.end - a.start))[0] ?? null;
}

const length = (span: RecordedSpan | null): number => (span === null ? Number.NaN : span.end - span.start);

/** Segments of one container's life, in milliseconds, in their order. */
function segments(seen: Seen, spans: readonly RecordedSpan[]): Record<string, number> {
  const of = (message: string, from: number, to: number) => handling(spans, message, from, to);
  const createScheduler = of("scheduler.container.create.v1", seen.create, seen.created);
  const createNode = of("node.container.create.v1", seen.create, seen.created);
  const resolve = of("image-store.image.resolve.v1", seen.create, seen.created);
  const startScheduler = of("scheduler.container.start.v1", seen.start, seen.answered);
  const startNode = of("node.container.start.v1", seen.start, seen.answered);
  const report = spans.find((span) => span.attributes["gantry.message.name"] === "node.container.report.v1" && span.name.startsWith("process ") && span.start >= seen.finishedAt) ?? null;
  const removeScheduler = of("scheduler.container.remove.v1", seen.remove, seen.removed);
  const removeNode = of("node.container.remove.v1", seen.remove, seen.removed);
  const create = seen.created - seen.create;
  const start = seen.answered - seen.start;
  const remove = seen.removed - seen.remove;
  return {
    "create": create,
    "  client, HTTP, api, bus (create)": create - length(createScheduler),
    "  image-store: resolve the image": length(resolve),
    "  scheduler: merge, place, record": length(createScheduler) - length(resolve) - length(createNode),
    "  node-agent: snapshot, directory": length(createNode),
    "start": start,
    "  client, HTTP, api, bus (start)": start - length(startScheduler),
    "  scheduler: record, events (start)": length(startScheduler) - length(startNode),
    "  node-agent and monitor, to exec": seen.startedAt - (startNode?.start ?? Number.NaN),
    "  node-agent, from exec on": (startNode?.end ?? Number.NaN) - seen.startedAt,
    "exec → exit (the program)": seen.finishedAt - seen.startedAt,
    "exit → wait answered": seen.waited - seen.finishedAt,
    "  monitor, node-agent, to report": (report?.start ?? Number.NaN) - seen.finishedAt,
    "  scheduler, outbox, event, api": seen.waited - (report?.start ?? Number.NaN),
    "remove": remove,
    "  client, HTTP, api, bus (remove)": remove - length(removeScheduler),
    "  scheduler: record, events (remove)": length(removeScheduler) - length(removeNode),
    "  node-agent: trash both": length(removeNode),
    "create + start + wait + remove": create + (seen.waited - seen.start) + remove,
  };
}

/** Processes of an engine: itself, and the spawner of its state directory. */
function engineProcesses(engine: Engine): number[] {
  const spawner = readdirSync("/proc").filter((name) => /^\d+$/.test(name)).filter((pid) => {
    try {
      const [program = "", ...args] = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
      return program.endsWith("gantry-shim") && args.includes(join(engine.dir, "run", "spawner.sock"));
    } catch {
      return false; // it ended meanwhile
    }
  });
  return [engine.pid, ...spawner.map(Number)];
}

/** Counts, for each container run meanwhile, the calls that cost: programs executed, processes made, syncs. */
async function countCalls(engine: Engine, client: Client, containers: number): Promise<Record<Network, string>> {
  const counts = {} as Record<Network, string>;
  for (const network of NETWORKS) {
    const dir = mkdtempSync(join(tmpdir(), "gantry-profile-"));
    const log = join(dir, "strace");
    const calls = "execve,execveat,clone,clone3,fork,vfork,fsync,fdatasync,syncfs,sync,sync_file_range";
    const strace = spawn("strace", ["-f", "-qq", "-e", `trace=${calls}`, "-e", "signal=none", "-o", log, ...engineProcesses(engine).flatMap((pid) => ["-p", String(pid)])], { stdio: ["ignore", "ignore", "inherit"] });
    const ended = new Promise<void>((done, reject) => { strace.on("error", reject); strace.on("exit", () => done()); });
    while (!traced(engine.pid)) await Promise.race([new Promise((r) => setTimeout(r, 10)), ended.then(() => { throw new Error("strace ended at once"); })]);
    for (let i = 0; i < containers; i++) await client.container(network);
    strace.kill("SIGINT");
    await ended;
    const lines = readFileSync(log, "utf8").split("\n").filter((line) => !line.includes(" = -1 ") && !line.includes("<unfinished"));
    const count = (pattern: RegExp) => (lines.filter((line) => pattern.test(line)).length / containers).toFixed(1);
    counts[network] = `${count(/execve/)} programs executed, ${count(/(clone3?|v?fork)(\(| resumed)/)} processes or threads made, ${count(/(fsync|fdatasync|syncfs|sync|sync_file_range)(\(| resumed)/)} syncs`;
    rmSync(dir, { recursive: true });
  }
  return counts;
}

const traced = (pid: number): boolean => !/^TracerPid:\s*0$/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));

class Table {
  readonly #rows = new Map<string, number[]>();
  add(row: string, value: number): void { this.#rows.set(row, [...this.#rows.get(row) ?? [], value]); }
  addAll(rows: Readonly<Record<string, number>>): void { for (const [row, value] of Object.entries(rows)) this.add(row, value); }
  median(row: string): number { return median((this.#rows.get(row) ?? []).filter((value) => !Number.isNaN(value))); }
  get names(): string[] { return [...this.#rows.keys()]; }
}

function print(title: string, tables: Readonly<Record<Network, Table>>, peer: number): void {
  console.log(`\n${title.padEnd(38)}${NETWORKS.map((network) => network.padStart(9)).join("")}   ÷ crun run`);
  for (const name of tables.none.names) {
    const values = NETWORKS.map((network) => tables[network].median(name));
    console.log(name.trimEnd().padEnd(38) + values.map((value) => value.toFixed(2).padStart(9)).join("") + `   ${values.map((value) => (value / peer).toFixed(2)).join("  ")}`);
  }
}

export async function profile(rounds: number): Promise<void> {
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error("usage: node bench/start-profile.ts [rounds]");
  const dir = mkdtempSync(join(tmpdir(), "gantry-profile-"));
  const spansFile = join(dir, "spans.json");
  const before = loadavg()[0]!;
  try {
    process.env["NODE_OPTIONS"] = `--import=${pathToFileURL(join(import.meta.dirname, "span-recorder.ts")).href}`;
    process.env["GANTRY_BENCH_SPANS"] = spansFile;
    await using engine = await Engine.start();
    delete process.env["NODE_OPTIONS"];
    delete process.env["GANTRY_BENCH_SPANS"];
    await engine.loadBase("busybox");
    using client = new Client(engine.socket);
    await using runtime = await RuntimeBench.make();
    await using crunPeer = new CrunPeer();
    const seen: Record<Network, Seen[]> = { none: [], bridge: [] };
    const alone: Record<Network, Table> = { none: new Table(), bridge: new Table() };
    const crun: number[] = [];
    for (let round = -WARM_UP; round < rounds; round++) {
      for (const network of NETWORKS) {
        const container = await client.container(network);
        const { request, answer, program: ran, exit } = await runtime.start(network);
        if (round < 0) continue;
        seen[network].push(container);
        alone[network].addAll({ "start called → exec": request, "exec → start answered": answer, "exec → exit (the program)": ran, "exit → exited resolved": exit });
      }
      const start = performance.now();
      await crunPeer.run();
      if (round >= 0) crun.push(performance.now() - start);
    }
    const counts = await countCalls(engine, client, Math.min(rounds, 20));
    await engine.stop();
    const spans = JSON.parse(readFileSync(spansFile, "utf8")) as RecordedSpan[];
    const api = Object.fromEntries(NETWORKS.map((network) => {
      const table = new Table();
      for (const container of seen[network]) table.addAll(segments(container, spans));
      return [network, table];
    })) as Record<Network, Table>;
    const peer = median(crun);
    console.log(`medians of ${rounds} interleaved rounds, ms; load ${before.toFixed(1)} before, ${loadavg()[0]!.toFixed(1)} after; crun run without network: ${peer.toFixed(2)} ms`);
    print("over the Engine API, network:", api, peer);
    print("libs/runtime alone, network:", alone, peer);
    console.log("\nfor each container, by strace over engine and spawner:");
    for (const network of NETWORKS) console.log(`  ${network.padEnd(8)}${counts[network]}`);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

if (import.meta.main) await profile(Number(process.argv[2] ?? 60));
