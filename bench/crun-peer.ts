import { spawn, type ChildProcess } from "node:child_process";
import { copyFileSync, linkSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/**
 * `crun run` of a bundle that runs `true`, started over and over by one small shell. The shell has a mount namespace without the hybrid
 * cgroup2 mount, with which crun refuses to run where a controller is there that no v1 hierarchy has.
 */
const LOOP = 'umount -l /sys/fs/cgroup/unified 2>/dev/null; while read -r id; do crun run --bundle "$1" "$id" </dev/null; echo $?; done';

export class CrunPeer implements AsyncDisposable {
  readonly #bundle: ReturnType<typeof crunBundle>;
  readonly #shell: ChildProcess;
  readonly #answers: AsyncIterator<string>;
  #count = 0;

  constructor() {
    this.#bundle = crunBundle();
    this.#shell = spawn("unshare", ["--mount", "--propagation", "private", "sh", "-c", LOOP, "sh", this.#bundle.dir], { stdio: ["pipe", "pipe", "inherit"] });
    this.#shell.on("error", () => {}); // its output ends, which `run` reports
    this.#shell.stdin!.on("error", () => {});
    this.#answers = createInterface({ input: this.#shell.stdout! })[Symbol.asyncIterator]();
  }

  /** The bundle's busybox, on the host. */
  get busybox(): string { return join(this.#bundle.dir, "rootfs/bin/busybox"); }

  /** One container, from start to exit. */
  async run(): Promise<void> {
    this.#shell.stdin!.write(`gantry-bench-${process.pid}-${this.#count++}\n`);
    const { value, done } = await this.#answers.next();
    if (done === true || value !== "0") throw new Error(`crun run ended with ${String(value)}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#shell.stdin!.end();
    if (this.#shell.exitCode === null && this.#shell.pid !== undefined) await new Promise((ended) => this.#shell.once("exit", ended));
    await this.#bundle[Symbol.asyncDispose]();
  }
}

/** An OCI bundle of busybox: what `crun spec` writes, without a terminal, running `true`. */
function crunBundle(): AsyncDisposable & { readonly dir: string } {
  const dir = mkdtempSync(join(tmpdir(), "gantry-bench-"));
  for (const sub of ["bin", "proc", "dev", "sys", "etc", "tmp"]) mkdirSync(join(dir, "rootfs", sub), { recursive: true });
  copyFileSync("/bin/busybox", join(dir, "rootfs/bin/busybox"));
  linkSync(join(dir, "rootfs/bin/busybox"), join(dir, "rootfs/bin/true"));
  const capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
  writeFileSync(join(dir, "config.json"), JSON.stringify({
    ociVersion: "1.0.0",
    process: { user: { uid: 0, gid: 0 }, args: ["/bin/true"], env: ["PATH=/bin"], cwd: "/", capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities }, noNewPrivileges: true },
    root: { path: "rootfs", readonly: true },
    hostname: "crun",
    mounts: [
      { destination: "/proc", type: "proc", source: "proc" },
      { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "strictatime", "mode=755", "size=65536k"] },
      { destination: "/dev/pts", type: "devpts", source: "devpts", options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"] },
      { destination: "/dev/shm", type: "tmpfs", source: "shm", options: ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"] },
      { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"] },
      { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"] },
    ],
    linux: {
      resources: { devices: [{ allow: false, access: "rwm" }] },
      namespaces: ["pid", "network", "ipc", "uts", "mount"].map((type) => ({ type })),
      maskedPaths: ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
      readonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    },
  }));
  return { dir, async [Symbol.asyncDispose]() { rmSync(dir, { recursive: true, force: true }); } };
}
