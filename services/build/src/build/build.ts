import { join } from "node:path";
import { rm } from "node:fs/promises";
import { type BuildSpec, fail } from "@gantry/contracts";
import { IgnoreMatcher, parseDockerfile, planBuild, type BuildPlan, type Instruction } from "@gantry/dockerfile";
import type { Clock } from "@gantry/kernel";
import { formatPlatform, hostPlatform, normalizePlatform, parsePlatform } from "@gantry/oci";
import { PieceReader } from "../context/archive-bytes.ts";
import type { Contexts } from "../context/contexts.ts";
import type { LoadedArchive } from "../context/load.ts";
import { binary, resolveNode, type SourceNode, SourceTree, without } from "../context/tree.ts";
import { unusedArgs } from "../domain/build-args.ts";
import { builtLine, rowsOf, stderrText, stepLine, taggedLine, unusedArgsLine, type BuildMessage } from "../domain/messages.ts";
import { storedImage, type StageImage } from "../domain/stage-image.ts";
import type { RunTools } from "../steps/run.ts";
import type { Fence, Images, KnownImage } from "./images.ts";
import { type BuildJobParts, type BuildProgress, Slots } from "./job.ts";
import { OrderedOutput } from "./output.ts";
import { buildStage } from "./stage.ts";
import { CacheFrom, type StepCache } from "./step-cache.ts";

const MAX_TEXT = 4 * 1024 * 1024;

export interface Builder {
  readonly contexts: Contexts;
  readonly images: Images;
  readonly cache: StepCache;
  readonly tools: RunTools;
  readonly clock: Clock;
  /** Where running builds spool. */
  readonly spoolDir: string;
  /** Steps of one build at once. */
  readonly parallelSteps: number;
}

export interface BuildRequest {
  readonly id: string;
  readonly spec: BuildSpec;
  readonly signal: AbortSignal;
  readonly progress: BuildProgress;
  /** Who asks for the tags: the image store refuses those of a claim that is over. */
  readonly fence: Fence;
}

/** Builds an image and gives it its names. Answers its ID. Errors are those of the build, in Docker's words. */
export async function runBuild(builder: Builder, request: BuildRequest): Promise<string> {
  const { spec, signal, progress } = request;
  if (spec.squash) throw fail("INVALID", "squash is only supported with experimental mode");
  const spoolDir = join(builder.spoolDir, request.id);
  await using scope = new AsyncDisposableStack();
  scope.defer(() => rm(spoolDir, { recursive: true, force: true }));
  const archive = spec.context === null ? null : scope.use(await builder.contexts.open(spec.context)).archive;
  const { root, dockerfile } = await readContext(archive, spec);
  const parsed = parseDockerfile(dockerfile);
  const platform = parsePlatform(spec.platform) ?? hostPlatform();
  const plan = planBuild(parsed, { buildArgs: spec.buildArgs, target: spec.target, platformArgs: platformArgs(platform) });
  const instructions = instructionsOf(plan, labelInstructions(spec.labels));
  progress.plan(instructions);
  for (const warning of parsed.warnings) progress.write(...rowsOf(0, stderrText(warning)));
  const sources = await Promise.all(spec.cacheFrom.map((ref) => builder.images.find(ref)));

  const image = await runStages(builder, request, plan, { root, archive }, sources.filter((found) => found !== null), spoolDir, signal);
  const tell = (...messages: readonly BuildMessage[]): void => progress.write(...rowsOf(instructions.length + 1, ...messages));
  const unused = unusedArgs(spec.buildArgs, declaredArgs(plan));
  if (unused.length > 0) tell(unusedArgsLine(unused));
  if (image.id === null) throw fail("BUILD_FAILED", "No image was generated. Is your Dockerfile empty?");
  tell(builtLine(image.id));
  for (const tag of spec.tags) tell(taggedLine(await builder.images.tag(image.id, tag, request.fence, signal)));
  if (spec.push === true) for (const tag of spec.tags) await builder.images.push(tag, { auth: spec.auth, fence: request.fence, tell, signal });
  return image.id;
}

/** All stages at once, as far as they do not wait for each other. The first failure stops the others. */
async function runStages(
  builder: Builder, request: BuildRequest, plan: BuildPlan, context: BuildJobParts["context"], cacheFrom: readonly KnownImage[], spoolDir: string, outer: AbortSignal,
): Promise<StageImage> {
  const { spec, progress } = request;
  const stop = new AbortController();
  const signal = AbortSignal.any([outer, stop.signal]);
  const output = new OrderedOutput(plan.dockerfile.stages.length, (...rows) => progress.write(...rows));
  const planned = new Set(plan.stages.map(({ stage }) => stage.index));
  for (const { index } of plan.dockerfile.stages) if (!planned.has(index)) output.end(index);
  const labels = labelInstructions(spec.labels);
  plan.dockerfile.globalArgs.forEach((arg, i) => {
    progress.begin(i + 1);
    output.write(0, ...rowsOf(i + 1, ...stepLine(i + 1, plan.totalSteps + labels.length, arg.original)));
    // Nobody waits for it: it makes nothing.
    progress.end(i + 1, "done", null, null).catch(() => {});
  });
  const bases = new Map<string, Promise<StageImage>>();
  const running = new Map<number, Promise<StageImage>>();
  const job: BuildJobParts = {
    spec, plan, context, signal, spoolDir, labels, progress,
    images: builder.images,
    cache: builder.cache,
    cacheFrom: cacheFrom.length === 0 ? null : new CacheFrom(builder.images, cacheFrom),
    tools: builder.tools,
    clock: builder.clock,
    slots: new Slots(builder.parallelSteps),
    totalSteps: plan.totalSteps + labels.length,
    tell: (stage, ...rows) => output.write(stage, ...rows),
    stageImage: (index) => running.get(index) ?? Promise.reject(new Error(`stage ${index} is not part of the build`)),
    baseImage: (ref, platform, tellStage) => bases.getOrInsertComputed(`${ref} ${platform}`, async () => {
      const { id, config, layers } = await builder.images.base(ref, { pull: spec.pull, platform, auth: spec.auth, tell: tellStage, signal });
      return storedImage(id, config, layers);
    }),
    names: new Map(plan.dockerfile.stages.flatMap(({ from, index }) => (from.as === null ? [] : [[from.as, index]]))),
  };

  let failed: { stage: number; error: unknown } | null = null;
  for (const stage of plan.stages) {
    const { index } = stage.stage;
    running.set(index, buildStage(job, stage).then((image) => {
      output.end(index);
      return image;
    }, (error: unknown) => {
      failed ??= { stage: index, error };
      stop.abort(error);
      throw error;
    }));
  }
  await Promise.allSettled(running.values());
  const failure = failed as { stage: number; error: unknown } | null;
  if (failure !== null) {
    output.flush(failure.stage);
    outer.throwIfAborted();
    throw failure.error;
  }
  return await running.get(plan.target)!;
}

/** The Dockerfile's text, and the context without what its `.dockerignore` hides of itself: the client sends both anyway. */
async function readContext(archive: LoadedArchive | null, spec: BuildSpec): Promise<{ root: SourceNode; dockerfile: string }> {
  const { dockerfile: path, dockerfileText } = spec;
  const root = archive?.tree.root ?? new SourceTree().root;
  if (dockerfileText != null) {
    if (dockerfileText.trim() === "") throw fail("INVALID", "the Dockerfile cannot be empty");
    return { root: archive === null ? root : await visible(archive, root, []), dockerfile: dockerfileText };
  }
  const missing = () => fail("INVALID", `Cannot locate specified Dockerfile: ${path}`);
  if (archive === null) throw missing();
  const node = resolveNode(root, binary(path));
  if (node === null || node.entry.type !== "file") throw missing();
  const dockerfile = await readText(archive, node);
  if (dockerfile.trim() === "") throw fail("INVALID", `the Dockerfile (${path}) cannot be empty`);
  return { root: await visible(archive, root, [binary(path)]), dockerfile };
}

/** Without `.dockerignore` and the `own` files, where it hides them. */
async function visible(archive: LoadedArchive, root: SourceNode, own: readonly string[]): Promise<SourceNode> {
  const ignoreFile = resolveNode(root, ".dockerignore");
  if (ignoreFile === null || ignoreFile.entry.type !== "file") return root;
  const ignore = IgnoreMatcher.parse(await readText(archive, ignoreFile));
  return without(root, [".dockerignore", ...own].filter((name) => ignore.ignores(name.replace(/^(?:\.?\/)+/, ""))));
}

/** Every step that there will be, by its number. */
function instructionsOf(plan: BuildPlan, labels: readonly Instruction[]): { number: number; instruction: string }[] {
  const numbered = plan.dockerfile.globalArgs.map((arg, i) => ({ number: i + 1, instruction: arg.original }));
  for (const { stage, firstStep } of plan.stages) {
    const own = [stage.from, ...stage.instructions, ...(stage.index === plan.target ? labels : [])];
    numbered.push(...own.map(({ original }, i) => ({ number: firstStep + i, instruction: original })));
  }
  return numbered;
}

async function readText(archive: LoadedArchive, node: SourceNode): Promise<string> {
  const { offset, size } = node.entry;
  if (size > MAX_TEXT) throw fail("TOO_LARGE", `${node.path} is larger than ${MAX_TEXT} bytes`);
  await using reader = new PieceReader(archive.bytes, offset + size);
  return Buffer.concat(await Array.fromAsync(reader.read(offset, size))).toString("utf8");
}

function platformArgs(target: ReturnType<typeof hostPlatform>): Record<string, string> {
  const named = (prefix: string, platform: ReturnType<typeof hostPlatform>): Record<string, string> => ({
    [`${prefix}PLATFORM`]: formatPlatform(platform), [`${prefix}OS`]: platform.os, [`${prefix}ARCH`]: platform.architecture, [`${prefix}VARIANT`]: platform.variant ?? "",
  });
  return { ...named("BUILD", hostPlatform()), ...named("TARGET", normalizePlatform(target)) };
}

/** `--label`: one instruction each, sorted, at the end of the target stage; shown as Docker shows them. */
function labelInstructions(labels: Readonly<Record<string, string>>): Instruction[] {
  return Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => (
    { line: 0, endLine: 0, name: "LABEL", pairs: [{ key: literal(key), value: literal(value) }], original: `LABEL ${key}=${value}` }
  ));
}

/** Keeps a text from expansion. */
const literal = (text: string): string => `'${text.replaceAll("'", "'\"'\"'")}'`;

function declaredArgs(plan: BuildPlan): Set<string> {
  const instructions = [...plan.dockerfile.globalArgs, ...plan.stages.flatMap(({ stage }) => stage.instructions)];
  return new Set(instructions.flatMap((instruction) => (instruction.name === "ARG" ? instruction.args.map(({ key }) => key) : [])));
}
