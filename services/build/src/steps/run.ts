import { mkdir, rm, writeFile } from "node:fs/promises";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import type { Duplex } from "node:stream";
import { StringDecoder } from "node:string_decoder";
import { fail } from "@gantry/contracts";
import { errnoOf, isGantryError, shortId } from "@gantry/kernel";
import type { LayerInfo } from "@gantry/contracts";
import type { Mount, RunningContainer, Runtime } from "@gantry/runtime";
import { exitMessage } from "../domain/messages.ts";
import { StdcopySplitter } from "../domain/stdcopy.ts";
import type { StageImage } from "../domain/stage-image.ts";
import type { StepNetwork } from "../ports.ts";
import { chainOf, type LayerTools, packLayer } from "./layers.ts";
import { runSpec, type StepLimits } from "./run-spec.ts";

export interface RunTools extends LayerTools {
  readonly runtime: Runtime;
  readonly stepNetwork: StepNetwork;
  /** Directories of running steps. */
  readonly stateDir: string;
  /** Of {@link makeMountPoints}. */
  readonly mountPoints: string;
  readonly cgroupParent: string;
}

export interface RunStep {
  readonly containerId: string;
  readonly image: StageImage;
  /** The command with its shell. */
  readonly args: readonly string[];
  /** Build arguments as environment. */
  readonly env: readonly string[];
  /** "default", "host", "none" or a network. */
  readonly networkMode: string;
  readonly extraHosts: readonly string[];
  readonly limits: StepLimits;
  /** A here-document to be run as a program, at this path of the container. */
  readonly script: { readonly path: string; readonly text: string } | null;
  readonly onOutput: (stream: "stdout" | "stderr", text: string) => void;
  /** Waits where the reader of the output is far behind. */
  readonly ready: () => Promise<void>;
  readonly signal: AbortSignal;
}

const SIGKILL = 9;

/**
 * Runs a command on the image and packs what it changed. null where that is nothing. BUILD_FAILED, with Docker's words and
 * `details.code`, where it ends with another code than 0. An abort kills it.
 */
export async function runStep(tools: RunTools, step: RunStep): Promise<LayerInfo | null> {
  const { containerId, image, signal } = step;
  const key = tools.keyPrefix + containerId;
  const dir = join(tools.stateDir, containerId);
  await using cleanup = new AsyncDisposableStack();
  signal.throwIfAborted();
  const rootfs = await tools.snapshots.prepare(key, chainOf(image), { volatile: true });
  cleanup.defer(() => tools.snapshots.remove(key));
  await mkdir(dir, { recursive: true, mode: 0o711 });
  cleanup.defer(() => rm(dir, { recursive: true, force: true }));
  const hostname = shortId(containerId);
  const network = cleanup.use(await tools.stepNetwork.attach({ containerId, mode: step.networkMode, hostname, extraHosts: step.extraHosts }));
  await Promise.all([
    writeFile(join(dir, "hosts"), network.hosts), writeFile(join(dir, "hostname"), `${hostname}\n`), writeFile(join(dir, "resolv.conf"), network.resolvConf),
  ]);
  const spec = runSpec({
    id: containerId, dir, args: step.args, env: step.env, run: image.run, network, limits: step.limits, cgroupParent: tools.cgroupParent,
    rootfs: { ...rootfs, lowers: [...rootfs.lowers, relative(rootfs.base, tools.mountPoints)] },
    mounts: step.script === null ? [] : [await scriptMount(dir, step.script)],
  });
  const { container, attached } = await tools.runtime.start(spec, { attach: [{ stdin: false, stdout: true, stderr: true }] });
  await watch(container, attached[0]!, step);
  return await packLayer(tools, key, image);
}

async function scriptMount(dir: string, script: { path: string; text: string }): Promise<Mount> {
  await writeFile(join(dir, "script"), script.text, { mode: 0o755 });
  return { destination: script.path, type: "bind", source: join(dir, "script"), options: ["rbind", "rprivate", "ro"] };
}

async function watch(container: RunningContainer, output: Duplex, step: RunStep): Promise<void> {
  const { signal } = step;
  const kill = (): void => {
    container.kill(SIGKILL).catch((e: unknown) => { if (!isGantryError(e, "NOT_RUNNING")) output.destroy(e as Error); });
  };
  signal.addEventListener("abort", kill, { once: true });
  if (signal.aborted) kill();
  try {
    const [exit] = await Promise.all([container.exited, pump(output, step)]);
    signal.throwIfAborted();
    if (exit.exitCode !== 0) throw fail("BUILD_FAILED", exitMessage(step.args, exit.exitCode), { details: { code: exit.exitCode, oomKilled: exit.oomKilled } });
  } finally {
    signal.removeEventListener("abort", kill);
    output.destroy();
  }
}

/** Characters that come in two pieces are put together, for each stream by itself. */
async function pump(output: Duplex, { onOutput, ready }: RunStep): Promise<void> {
  const decoders = { stdout: new StringDecoder("utf8"), stderr: new StringDecoder("utf8") };
  const splitter = new StdcopySplitter((stream, bytes) => {
    const text = decoders[stream].write(bytes);
    if (text !== "") onOutput(stream, text);
  });
  for await (const chunk of output) {
    splitter.push(chunk as Buffer);
    await ready();
  }
  for (const stream of ["stdout", "stderr"] as const) {
    const text = decoders[stream].end();
    if (text !== "") onOutput(stream, text);
  }
}

/**
 * A directory with what the runtime mounts over. As the lowest layer of a step's root it is where these places are made, so that a
 * base image without them does not get them into its next layer.
 */
export function makeMountPoints(dir: string): string {
  for (const sub of ["etc", "dev", "proc", "sys"]) mkdirSync(join(dir, sub), { recursive: true, mode: 0o755 });
  for (const file of ["hosts", "hostname", "resolv.conf"]) writeFileSync(join(dir, "etc", file), "");
  try {
    symlinkSync("/proc/mounts", join(dir, "etc/mtab"));
  } catch (e) {
    if (errnoOf(e) !== "EEXIST") throw e;
  }
  return dir;
}
