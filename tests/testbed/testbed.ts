import { randomInt } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createAuthority, issueCertificate } from "@gantry/http/certificates";
import { serves } from "@gantry/testkit";
import { eventually, Failed, MAIN, ok, run, type Result, type RunOptions } from "../support/command.ts";
import { bootHost, endHost, launchOnHost, makeBridge, onHost, plugIn, removeTraces } from "./hosts.ts";
import { CONTROL, brokersOf, certificatesOf, hostsOf, logOf, machineAddress, metricsSocketOf, ownerOf, processesOf, servicesOf, socketOf, type HostPlan, type Layout } from "./layout.ts";
import { cut, cutHosts, delay, heal, makeCutter, shorten } from "./links.ts";
import { ended, isAlive, signal, type ProcessMark } from "./processes.ts";
import { holdLock } from "./owner.ts";
import { Records } from "./records.ts";
import { freeSubnet } from "./subnet.ts";

export interface TestbedOptions {
  /** Where all of it is kept; a temporary directory without it. It must not hold a testbed already. */
  readonly dir?: string;
  /** Hosts with a node agent; default 3. */
  readonly agents?: number;
  /** Hosts with a build worker; default 2. */
  readonly workers?: number;
  /** Default 2. */
  readonly schedulers?: number;
  readonly logLevel?: string;
  /** Runs on when this process has ended; else all of it ends with this process, whatever ends that. */
  readonly keep?: boolean;
  /** Gives up: what was made is removed. */
  readonly signal?: AbortSignal;
  /** Environment of services: of all (`*`) or by process name (`scheduler-1`). Addresses and directories cannot be changed. */
  readonly env?: Layout["env"];
}

export interface ProcessStatus { readonly name: string; readonly host: string; readonly pid: number | null }
export interface HostStatus { readonly name: string; readonly address: string; readonly up: boolean; readonly cut: boolean }

const LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789";

/**
 * A cluster on this machine: RabbitMQ, PostgreSQL, Redis and the control services on the host `control`, each build worker
 * (`worker-1` …) and each node agent (`agent-1` …) on a host of its own, all as separate processes. A host is a network, mount, UTS
 * and PID namespace with its own address on a bridge, its own state directory and cgroup parent; the machine's file system is shared.
 *
 * Process names: `epmd`, `rabbit`, `postgres`, `redis`, `api`, `image-store`, `scheduler-1` …, `worker-1` …, `agent-1` ….
 */
export class Testbed implements AsyncDisposable {
  readonly dir: string;
  readonly layout: Layout;
  readonly #records: Records;
  #lock: AsyncDisposable | null = null;
  /** Whether disposing takes it down. */
  #mine = false;

  private constructor(dir: string, layout: Layout) {
    this.dir = dir;
    this.layout = layout;
    this.#records = new Records(dir);
  }

  /** Makes a testbed and waits until its services serve and every node takes containers. What was made is removed should it fail. */
  static async up(options: TestbedOptions = {}): Promise<Testbed> {
    const dir = options.dir === undefined ? mkdtempSync(join(tmpdir(), "gantry-testbed-")) : resolve(options.dir);
    const records = new Records(dir);
    if (records.exists) throw new Failed(`${dir} holds a testbed already: take it down first (npm run testbed -- down --dir ${dir})`);
    const layout: Layout = {
      dir, tag: Array.from({ length: 5 }, () => LETTERS[randomInt(LETTERS.length)]).join(""), subnet: freeSubnet(),
      agents: options.agents ?? 3, workers: options.workers ?? 2, schedulers: options.schedulers ?? 2, logLevel: options.logLevel ?? "info", owned: options.keep !== true, env: options.env ?? {},
    };
    mkdirSync(dir, { recursive: true, mode: 0o755 });
    records.create(layout);
    const bed = new Testbed(dir, layout);
    bed.#mine = true;
    try {
      await bed.#build(options.signal ?? new AbortController().signal);
    } catch (e) {
      if (process.env["GANTRY_TESTBED_KEEP"] === undefined) await bed.down();
      throw e;
    }
    return bed;
  }

  /** A testbed that another process made; disposing leaves it up. */
  static open(dir: string): Testbed {
    const records = new Records(resolve(dir));
    if (!records.exists) throw new Failed(`there is no testbed in ${resolve(dir)}`);
    return new Testbed(resolve(dir), records.layout());
  }

  /** By name. */
  get hosts(): Readonly<Record<string, HostPlan>> {
    return Object.fromEntries(hostsOf(this.layout).map((host) => [host.name, host]));
  }

  /** Address of the machine itself, as hosts reach it. */
  get machineAddress(): string { return machineAddress(this.layout); }

  /** Names of the processes that are services. */
  get services(): string[] { return servicesOf(this.layout).map(({ name }) => name); }

  /** Unix socket of the API. */
  get socket(): string { return socketOf(this.layout); }

  /** For a client of the cluster. */
  get env(): Record<string, string> {
    return { DOCKER_HOST: `unix://${socketOf(this.layout)}`, DOCKER_BUILDKIT: "0", DOCKER_CONFIG: join(this.dir, "docker-config"), DOCKER_API_VERSION: "", DOCKER_CONTEXT: "" };
  }

  /** The stock docker command; its exit code is in the answer. */
  docker(args: readonly string[], options: RunOptions = {}): Promise<Result> {
    return run("docker", args, { ...options, env: { ...this.env, ...options.env } });
  }

  /** The stock docker command; throws should it fail, and answers its stdout without the last newline. */
  ok(args: readonly string[], options: RunOptions = {}): Promise<string> {
    return ok("docker", args, { ...options, env: { ...this.env, ...options.env } });
  }

  /** The `gantry` command; throws should it fail. */
  gantry(args: readonly string[], options: RunOptions = {}): Promise<string> {
    return ok(process.execPath, [MAIN, ...args], { ...options, env: { ...this.env, ...options.env } });
  }

  /** Makes sure that the image store has a base image. */
  async base(name: "busybox" | "debian" | "node"): Promise<void> {
    if ((await this.docker(["image", "inspect", name])).code !== 0) await this.gantry(["base", name], { timeoutMs: 300_000 });
  }

  /** The host that a container is on. */
  async hostOf(container: string): Promise<string> {
    const id = await this.ok(["inspect", "--type", "container", "--format", "{{.Id}}", container]);
    const host = hostsOf(this.layout).find(({ dir }) => existsSync(join(dir, "state", "containers", id)));
    if (host === undefined) throw new Failed(`no host has container ${container}`);
    return host.name;
  }

  /** Runs a program on a host to its end. */
  exec(host: string, command: string, args: readonly string[] = [], options: RunOptions = {}): Promise<Result> {
    return run(...onHost(this.#keeper(host), command, args), options);
  }

  /** A command line that runs a program on a host, for whoever wants to hold it. */
  commandOn(host: string, command: string, args: readonly string[] = []): [string, string[]] {
    return onHost(this.#keeper(host), command, args);
  }

  /** Drops all traffic of a host, both ways, on connections that are open too. */
  async cut(host: string): Promise<void> { await cut(this.layout, this.#host(host)); }

  /** Makes all traffic of a host late, each way. */
  async delay(host: string, ms: number): Promise<void> { await delay(this.layout, this.#records, this.#host(host), ms); }

  /** Undoes cut and delay. */
  async heal(host: string): Promise<void> { await heal(this.layout, this.#records, this.#host(host)); }

  /** Sends a signal to a process, SIGKILL by default, and waits until it has ended if that is what the signal is for. */
  async kill(name: string, by: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const mark = this.#running(name);
    if (mark === null || !signal(mark, by)) throw new Failed(`${name} does not run`);
    if (["SIGKILL", "SIGTERM", "SIGINT", "SIGQUIT"].includes(by)) await ended(mark);
  }

  /** Starts a process that has ended, on the state it left, with variables besides its own. Resolves when it has been started; brokers, when they answer. */
  async start(name: string, env: Readonly<Record<string, string>> = {}): Promise<void> {
    const plan = processesOf(this.layout).find((p) => p.name === name);
    if (plan === undefined) throw new Failed(`the testbed has no process ${name}: ${processesOf(this.layout).map((p) => p.name).join(", ")}`);
    if (this.#running(name) !== null) throw new Failed(`${name} runs already`);
    const mark = await launchOnHost(this.#keeper(plan.host), { ...plan, env: { ...env, ...plan.env }, log: logOf(this.layout, name) });
    this.#records.setProcess(name, mark);
    const program = brokersOf(this.layout).flatMap(({ programs }) => programs).find((p) => p.name === name && p.probe.address !== "127.0.0.1");
    if (program === undefined) return;
    await eventually(`${name} to answer`, async () => {
      if (!isAlive(mark)) throw new Failed(`${name} ended while it started: see ${logOf(this.layout, name)}`);
      return serves(program);
    }, 60_000);
  }

  /** Ends a process as an operator would. */
  async stop(name: string): Promise<void> {
    await this.kill(name, brokersOf(this.layout).flatMap(({ programs }) => programs).find((program) => program.name === name)?.stopSignal ?? "SIGTERM");
  }

  /** Ends a process as an operator would, and starts it again. */
  async restart(name: string, env: Readonly<Record<string, string>> = {}): Promise<void> {
    if (this.#running(name) !== null) await this.stop(name);
    await this.start(name, env);
  }

  /** Power cut of a host: everything on it ends at once. Its disk stays. */
  async powerOff(host: string): Promise<void> { await endHost(this.#keeper(host)); }

  /** Boots a host again, with its processes. */
  async powerOn(name: string): Promise<void> {
    const host = this.#host(name);
    const keeper = await this.#boot(host);
    await plugIn(this.layout, [{ ...host, keeper }]);
    for (const process of processesOf(this.layout)) if (process.host === name) await this.start(process.name);
  }

  /** Waits until the API answers, all nodes are there and it takes builds: the state in which a test finds and leaves the cluster. */
  async ready(timeoutMs = 60_000): Promise<void> {
    const { agents } = this.layout;
    await eventually("the cluster to be ready", async () => {
      for (const { name } of servicesOf(this.layout)) if (this.#running(name) === null) throw new Failed(`${name} ended: see ${logOf(this.layout, name)}`);
      const info = await this.docker(["info", "--format", "{{.NCPU}}"]);
      return info.code === 0 && Number(info.stdout) === agents * cpus().length;
    }, timeoutMs);
  }

  processes(): ProcessStatus[] {
    return processesOf(this.layout).map(({ name, host }) => ({ name, host, pid: this.#running(name)?.pid ?? null }));
  }

  async hostStatus(): Promise<HostStatus[]> {
    const off = new Set(await cutHosts(this.layout));
    return hostsOf(this.layout).map(({ name, address }) => {
      const keeper = this.#records.keeper(name);
      return { name, address, up: keeper !== null && isAlive(keeper), cut: off.has(name) };
    });
  }

  /** Unix socket on which a service serves its metrics. */
  metricsSocket(name: string): string { return metricsSocketOf(this.layout, name); }

  /** File that a process writes its output to. */
  log(name: string): string { return logOf(this.layout, name); }

  /** Ends everything and removes it: processes, containers, namespaces, mounts, bridge, cgroups, firewall table, directory. */
  async down(): Promise<void> {
    const hosts = hostsOf(this.layout);
    await Promise.all(hosts.map(async ({ name }) => {
      const keeper = this.#records.keeper(name);
      if (keeper !== null) await endHost(keeper);
    }));
    await all(hosts.map((host) => shorten(this.layout, this.#records, host)));
    await removeTraces(this.layout, hosts);
    await this.#lock?.[Symbol.asyncDispose]();
    this.#records.remove();
  }

  /** Takes it down if it was made here. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#mine) await this.down();
  }

  async #build(given: AbortSignal): Promise<void> {
    const owner = ownerOf(this.layout);
    if (owner !== null) this.#lock = await holdLock(owner);
    await all([makeBridge(this.layout), makeCutter(this.layout), this.#certify()]);
    given.throwIfAborted();
    const hosts = await all(hostsOf(this.layout).map(async (host) => ({ ...host, keeper: await this.#boot(host) })));
    await plugIn(this.layout, hosts);
    await all(brokersOf(this.layout).map(async (broker) => {
      mkdirSync(join(this.hosts[CONTROL]!.dir, broker.name), { recursive: true });
      await broker.prepare(async (command, args) => { await ok(...onHost(this.#keeper(CONTROL), command, args)); });
      for (const { name } of broker.programs) await this.start(name);
    }));
    given.throwIfAborted();
    await all(servicesOf(this.layout).map(({ name }) => this.start(name)));
    await Promise.race([this.ready(), new Promise((_, reject) => { given.addEventListener("abort", () => reject(given.reason as Error), { once: true }); })]);
  }

  async #certify(): Promise<void> {
    const dir = certificatesOf(this.layout);
    await createAuthority({ dir });
    for (const { name, certificate } of servicesOf(this.layout)) if (certificate !== null) await issueCertificate({ dir, name, ...certificate });
  }

  async #boot(host: HostPlan): Promise<ProcessMark> {
    const keeper = await bootHost(host, ownerOf(this.layout), logOf(this.layout, `host-${host.name}`));
    this.#records.setKeeper(host.name, keeper);
    return keeper;
  }

  #host(name: string): HostPlan {
    const host = this.hosts[name];
    if (host === undefined) throw new Failed(`the testbed has no host ${name}: ${Object.keys(this.hosts).join(", ")}`);
    return host;
  }

  #keeper(host: string): ProcessMark {
    this.#host(host);
    const keeper = this.#records.keeper(host);
    if (keeper === null || !isAlive(keeper)) throw new Failed(`host ${host} is off`);
    return keeper;
  }

  #running(name: string): ProcessMark | null {
    const mark = this.#records.process(name);
    return mark !== null && isAlive(mark) ? mark : null;
  }
}

/** As Promise.all; where one fails the others have ended too, so that nothing is made while what there is is removed. */
async function all<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(promises);
  return await Promise.all(promises);
}
