import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Duplex } from "node:stream";
import { newId } from "@gantry/kernel";
import {
  type ContainerSpec, DEFAULT_CAPABILITIES, DEFAULT_DEVICE_RULES, DEFAULT_MASKED_PATHS, DEFAULT_READONLY_PATHS, defaultDevices, defaultMounts,
  endSpawner, type ExecSpec, type ExitStatus, removeCgroup, type Runtime, type RunningContainer, startRuntime,
} from "../index.ts";

const APPLETS = ["sh", "true", "false", "cat", "echo", "id", "ls", "ps", "sleep", "stty", "seq", "head", "mount", "umount", "hostname", "kill", "unshare",
  "dd", "pwd", "env", "readlink", "grep", "touch", "mknod", "stat", "ip", "nslookup", "tail", "wc", "mkdir"];

/** A root file system of busybox and a spawner of their own; containers get a directory and a snapshot each. */
export class Rig implements AsyncDisposable {
  readonly root: string;
  readonly socket: string;
  readonly cgroupParent = `gantry-runtime-test-${process.pid}`;
  runtime!: Runtime;
  #count = 0;

  constructor(root: string) {
    this.root = root;
    this.socket = join(root, "spawner.sock");
  }

  static async make(options: { directory?: string } = {}): Promise<Rig> {
    const rig = new Rig(await mkdtemp(join(options.directory ?? tmpdir(), "gantry-runtime-")));
    const layer = join(rig.root, "layer");
    for (const dir of ["bin", "etc", "tmp", "proc", "dev", "sys", "root"]) await mkdir(join(layer, dir), { recursive: true });
    await copyFile("/bin/busybox", join(layer, "bin/busybox"));
    for (const applet of APPLETS) await symlink("busybox", join(layer, "bin", applet));
    await writeFile(join(layer, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n");
    await writeFile(join(layer, "etc/group"), "root:x:0:\nalice:x:1000:\nstaff:x:50:alice\naudio:x:29:\n");
    await writeFile(join(layer, "bin/script"), "no program\n", { mode: 0o755 });
    await writeFile(join(layer, "etc/plain"), "not executable\n", { mode: 0o644 });
    rig.runtime = await rig.connect();
    return rig;
  }

  /** GANTRY_TEST_SHIM: another build of the program, such as native/build/test/gantry-shim, under sanitizers. */
  connect(): Promise<Runtime> {
    return startRuntime({ socket: this.socket, ...(process.env.GANTRY_TEST_SHIM === undefined ? {} : { shim: resolve(process.env.GANTRY_TEST_SHIM) }) });
  }

  /** Docker's defaults, with what a test changes. */
  async spec(args: string[], change: Partial<ContainerSpec> = {}): Promise<ContainerSpec> {
    const n = String(this.#count++);
    for (const dir of [`${n}/container`, `${n}/upper`, `${n}/work`]) await mkdir(join(this.root, dir), { recursive: true });
    const id = newId();
    return {
      id, dir: join(this.root, n, "container"), args, env: ["PATH=/bin"], cwd: "/", user: "", additionalGroups: [], hostname: "box", domainname: "",
      terminal: false, openStdin: false, stdinOnce: false, consoleHeight: 24, consoleWidth: 80,
      rootfs: { base: this.root, lowers: ["layer"], upper: `${n}/upper`, work: `${n}/work`, volatile: true }, readonlyRootfs: false,
      mounts: defaultMounts(),
      namespaces: { mount: "new", pid: "new", network: "new", ipc: "new", uts: "new", cgroup: "new", user: "host" },
      uidMappings: [], gidMappings: [], networks: [], dns: false, capabilities: [...DEFAULT_CAPABILITIES], seccomp: true, noNewPrivileges: false,
      rlimits: [], sysctls: [], devices: defaultDevices(), maskedPaths: [...DEFAULT_MASKED_PATHS], readonlyPaths: [...DEFAULT_READONLY_PATHS],
      privileged: false, init: false,
      cgroup: {
        path: `${this.cgroupParent}/${id}`, memory: null, memorySwap: null, memoryReservation: null, pids: null, cpuShares: null, cpuQuota: null,
        cpuPeriod: null, cpusetCpus: null, cpusetMems: null, blkioWeight: null, oomKillDisable: false, deviceRules: [...DEFAULT_DEVICE_RULES],
      },
      oomScoreAdj: null, umask: null, stopSignal: "SIGTERM", log: { maxBytes: 0, maxFiles: 1 },
      ...change,
    };
  }

  execSpec(args: string[], change: Partial<ExecSpec> = {}): ExecSpec {
    return {
      id: newId(), args, env: ["PATH=/bin"], cwd: "/", user: "", additionalGroups: [], terminal: false, consoleHeight: 24, consoleWidth: 80,
      stdin: false, stdout: true, stderr: true, privileged: false, capabilities: [...DEFAULT_CAPABILITIES], noNewPrivileges: false, ...change,
    };
  }

  /** Runs to the end; stdout and stderr apart. */
  async run(args: string[], change: Partial<ContainerSpec> = {}): Promise<{ status: ExitStatus; stdout: string; stderr: string; spec: ContainerSpec }> {
    const spec = await this.spec(args, change);
    const { container, attached } = await this.runtime.start(spec, { attach: [{ stdin: false, stdout: true, stderr: true }] });
    const output = await (spec.terminal ? plain(attached[0]!) : demultiplex(attached[0]!));
    return { status: await container.exited, ...output, spec };
  }

  async sleeper(change: Partial<ContainerSpec> = {}): Promise<{ container: RunningContainer; spec: ContainerSpec }> {
    const spec = await this.spec(["sleep", "1000"], change);
    const { container } = await this.runtime.start(spec);
    return { container, spec };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const entry of await readdir(this.root)) {
      const found = /^\d+$/.test(entry) ? await this.runtime.find(join(this.root, entry, "container")) : null;
      if (found === null || !("pid" in found)) continue;
      await found.kill(9).catch(() => {});
      await found.exited;
    }
    await this.runtime[Symbol.asyncDispose]();
    await endSpawner(this.socket);
    await eventually(() => removeCgroup(this.cgroupParent));
    await rm(this.root, { recursive: true, force: true });
  }
}

/** Docker's raw stream: 8-byte headers. */
export async function demultiplex(stream: Duplex): Promise<{ stdout: string; stderr: string }> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  const all = Buffer.concat(chunks);
  const out: [string[], string[]] = [[], []];
  for (let at = 0; at < all.length;) {
    const kind = all.readUInt8(at);
    assert.ok(kind === 1 || kind === 2, `stream ${kind}`);
    const length = all.readUInt32BE(at + 4);
    assert.ok(at + 8 + length <= all.length, "frame is complete");
    out[kind - 1]!.push(all.toString("latin1", at + 8, at + 8 + length));
    at += 8 + length;
  }
  return { stdout: out[0].join(""), stderr: out[1].join("") };
}

export async function plain(stream: Duplex): Promise<{ stdout: string; stderr: string }> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return { stdout: Buffer.concat(chunks).toString(), stderr: "" };
}

/** Tries again until it succeeds; the last failure after 10 s. */
export async function eventually<T>(attempt: () => Promise<T> | T): Promise<T> {
  for (const deadline = Date.now() + 10_000; ;) {
    try {
      return await attempt();
    } catch (e) {
      if (Date.now() > deadline) throw e;
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Until `text` has come. */
export function seen(stream: Duplex, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let all = "";
    const take = (chunk: Buffer) => {
      all += chunk.toString("latin1");
      if (!all.includes(text)) return;
      stream.off("data", take);
      resolve(all);
    };
    stream.on("data", take).once("end", () => reject(new Error(`the stream ended after ${JSON.stringify(all)}`)));
  });
}

export async function parentOf(pid: number): Promise<number> {
  return Number(/^PPid:\s*(\d+)$/m.exec(await readFile(`/proc/${pid}/status`, "utf8"))![1]);
}

/** Running; what is dead and not yet waited for (by the host's init) is not. */
export function alive(pid: number): boolean {
  try {
    return !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
