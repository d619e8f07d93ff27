import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import http from "node:http";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { createLocalBus, on, type Bus } from "@gantry/bus";
import { DiskContentStore } from "@gantry/content";
import {
  containerCreate, containerInspect, containerList, containerRemove, containerStart, dockerEvent, nodeExecCreate, nodeExecInspect, schedulerInfo, type DockerEvent,
} from "@gantry/contracts";
import { MemoryDigestCache } from "@gantry/digest-cache";
import { newId, silentLogger, systemClock } from "@gantry/kernel";
import { openHostNetwork, type HostNetwork } from "@gantry/network";
import { endSpawner, loadNative, removeCgroup, startRuntime } from "@gantry/runtime";
import { openSnapshots } from "@gantry/snapshots";
import { tempDir, waitFor } from "@gantry/testkit";
import * as agent from "../index.ts";
import { serveImages } from "./image.ts";

export interface Inspected {
  Id: string; Name: string;
  State: { Status: string; Running: boolean; ExitCode: number; Pid: number; Error: string; Health?: { Status: string } };
  RestartCount: number;
  Mounts: { Name?: string; Source: string; Destination: string }[];
  NetworkSettings: { IPAddress: string; Ports: Record<string, { HostPort: string }[] | null>; Networks: Record<string, { IPAddress: string; DNSNames: string[] | null }> };
}

/** Scheduler and agent over a real runtime, snapshots, network and SQLite; the agent can be taken away and come back. */
export class Rig {
  readonly instance = randomBytes(4).toString("hex");
  readonly cgroupParent = `gantry-node-test-${this.instance}`;
  readonly dir: string;
  readonly events: DockerEvent[] = [];
  readonly bus: Bus;
  #agent: AsyncDisposableStack | null = null;
  network!: HostNetwork;
  content!: DiskContentStore;
  images!: Awaited<ReturnType<typeof serveImages>>;

  constructor(scope: AsyncDisposableStack) {
    this.dir = tempDir(scope);
    this.bus = scope.use(createLocalBus({ service: "test", clock: systemClock, logger: silentLogger }));
  }

  /** `scheduler` serves the scheduler's queue until the scope ends. */
  static async open(scope: AsyncDisposableStack, scheduler: (rig: Rig) => Promise<void>): Promise<Rig> {
    const rig = new Rig(scope);
    for (const name of ["run", "db"]) mkdirSync(join(rig.dir, name));
    scope.defer(() => endSpawner(join(rig.dir, "run/spawner.sock")));
    scope.use(await rig.bus.subscribe([on(dockerEvent, async (event) => { rig.events.push(event); return event; })]));
    rig.content = await DiskContentStore.open({ dir: join(rig.dir, "blobs") });
    rig.images = scope.use(await serveImages(rig.bus, rig.content));
    await scheduler(rig);
    scope.defer(() => rig.stopAgent());
    scope.defer(() => rig.network.destroy());
    // With what a failed test left running.
    scope.defer(async () => {
      const { containers } = await rig.bus.call(containerList, { all: true, limit: null, size: false, filters: {} });
      for (const container of containers) await rig.bus.call(containerRemove, { ref: String(container["Id"]), force: true, volumes: true });
      await waitFor(() => removeCgroup(rig.cgroupParent).then(() => true), { what: "the cgroups to be empty" });
    });
    await rig.startAgent();
    return rig;
  }

  /** `busLater`: it begins without a bus, as on a host of a fleet. */
  async startAgent({ busLater = false }: { busLater?: boolean } = {}): Promise<void> {
    const scope = new AsyncDisposableStack();
    const native = loadNative();
    const shared = { clock: systemClock, logger: silentLogger };
    const runtime = scope.use(await startRuntime({ socket: join(this.dir, "run/spawner.sock") }));
    const snapshots = scope.use(await openSnapshots({ dir: join(this.dir, "snapshots"), native: native.fs, ...shared }));
    this.network = await openHostNetwork({ native: native.net, instance: this.instance, ...shared });
    scope.use(this.network);
    await agent.start({
      nodeId: "n1", stateDir: this.dir, listen: `unix:${join(this.dir, "run/node.sock")}`, address: "", instance: this.instance, cgroupParent: this.cgroupParent, labels: {},
      concurrency: 64,
    }, { bus: busLater ? Promise.resolve(this.bus) : this.bus, content: this.content, cache: new MemoryDigestCache({ clock: systemClock }), credentials: null, snapshots, native: native.fs, runtime, network: this.network, ...shared }, scope);
    this.#agent = scope;
    await waitFor(async () => (await this.bus.call(schedulerInfo, {})).nodes.length === 1);
  }

  async stopAgent(): Promise<void> {
    await this.#agent?.disposeAsync();
    this.#agent = null;
  }

  async create(body: Record<string, unknown>, name: string | null = null): Promise<string> {
    const id = newId();
    await this.bus.call(containerCreate, { id, name, body: { Image: "busybox", ...body, HostConfig: { NetworkMode: "none", ...body["HostConfig"] as object } } });
    return id;
  }

  async run(body: Record<string, unknown>, name: string | null = null): Promise<string> {
    const id = await this.create(body, name);
    await this.bus.call(containerStart, { ref: id });
    return id;
  }

  async inspect(ref: string): Promise<Inspected> {
    return (await this.bus.call(containerInspect, { ref, size: false })).container as unknown as Inspected;
  }

  async until(ref: string, condition: (container: Inspected) => boolean): Promise<Inspected> {
    return waitFor(async () => {
      const container = await this.inspect(ref);
      return condition(container) ? container : null;
    });
  }

  exited(ref: string): Promise<Inspected> {
    return this.until(ref, (container) => container.State.Status === "exited");
  }

  /** A raw stream of the agent. */
  upgrade(path: string, body: object | null = null): Promise<Duplex> {
    const payload = body === null ? "" : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const request = http.request({ socketPath: join(this.dir, "run/node.sock"), method: "POST", path, headers: { Connection: "Upgrade", Upgrade: "tcp", "Content-Length": payload.length } });
      request.on("upgrade", (_response, socket, head) => { if (head.length > 0) socket.unshift(head); resolve(socket); });
      request.on("response", (response) => { response.resume(); reject(new Error(`status ${response.statusCode}`)); });
      request.on("error", reject);
      request.end(payload);
    });
  }

  async http(method: string, path: string, body?: Buffer): Promise<{ status: number; headers: http.IncomingHttpHeaders; body: Buffer }> {
    return new Promise((resolve, reject) => {
      const request = http.request({ socketPath: join(this.dir, "run/node.sock"), method, path, headers: { "content-type": "application/x-tar" } }, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }));
      });
      request.on("error", reject);
      request.end(body);
    });
  }

  async logs(id: string, query = ""): Promise<string> {
    return unframe((await this.http("GET", `/v1/containers/${id}/logs?stdout=1&stderr=1${query}`)).body);
  }

  async exec(containerId: string, config: Record<string, unknown>, input: string | null = null): Promise<{ output: string; exitCode: number }> {
    const execId = newId();
    await this.bus.call(nodeExecCreate, { execId, containerId, config: { AttachStdout: true, AttachStderr: true, AttachStdin: input !== null, ...config } }, { node: "n1" });
    const stream = await this.upgrade(`/v1/exec/${execId}/start`, { Detach: false, Tty: false });
    if (input !== null) stream.write(input);
    stream.end();
    const output = unframe(await readAll(stream));
    const { exec } = await this.bus.call(nodeExecInspect, { execId }, { node: "n1" });
    return { output, exitCode: exec["ExitCode"] as number };
  }
}

export async function readAll(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** The text of Docker's frames, whichever stream it is of. */
export function unframe(data: Buffer): string {
  let text = "";
  for (let at = 0; at + 8 <= data.length; at += 8 + data.readUInt32BE(at + 4)) text += data.toString("utf8", at + 8, at + 8 + data.readUInt32BE(at + 4));
  return text;
}
