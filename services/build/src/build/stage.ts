import { fail, type LayerInfo } from "@gantry/contracts";
import { expandInstruction, parseTrigger, type Base, type Instruction, type InstructionOf, type PlannedStage, baseOf } from "@gantry/dockerfile";
import { GantryError, newId, rfc3339Nano } from "@gantry/kernel";
import { hostPlatform, parsePlatform } from "@gantry/oci";
import type { LabelValues, metric } from "@gantry/telemetry/metrics";
import { traced } from "@gantry/telemetry/trace";
import { applyInstruction, nopCreatedBy } from "../domain/apply.ts";
import { StageArgs } from "../domain/build-args.ts";
import { planDirectory } from "../domain/copy-plan.ts";
import {
  cacheLine, imageIdMessage, imageLine, outputRow, removingLine, rowsOf, runningLine, stepLine, triggersLine, type BuildMessage,
} from "../domain/messages.ts";
import { runCommand } from "../domain/run-command.ts";
import { beginStage, nextImage, scratchImage, storedImage, type StageImage, type Step } from "../domain/stage-image.ts";
import { stepDurations, steps } from "../metrics.ts";
import { addLayer, fetchLayers } from "../steps/layers.ts";
import { runStep } from "../steps/run.ts";
import { copyFromContext, copyFromImage } from "./copy.ts";
import type { BuildJobParts } from "./job.ts";

/** Builds one stage and answers its image. Its lines go to the job, its images to the image store. */
export async function buildStage(job: BuildJobParts, planned: PlannedStage): Promise<StageImage> {
  return await new StageBuild(job, planned).run();
}

type Outcome = LabelValues<typeof metric.buildSteps.labels>["outcome"];

export interface StepWork {
  readonly step: Step;
  /** Whether Docker shows a container for this instruction. */
  readonly container: boolean;
  /** Makes the step's layer; null where nothing of the file system changes. */
  readonly work: (containerId: string) => Promise<LayerInfo | null>;
}

/** The state of a stage while it is built, as its instructions see it. */
export class StageBuild {
  readonly job: BuildJobParts;
  readonly planned: PlannedStage;
  readonly #args: StageArgs;
  #image: StageImage | null = null;
  #cmdSet = false;
  /** After one step that was not in the cache no later one is looked for. */
  #busted = false;
  #number = 0;
  #cached = false;
  /** Triggers of a base are several steps under one number. */
  #inTriggers = false;
  /** Images on their way to the store, in order. */
  #storing: Promise<void> = Promise.resolve();
  /** Made by the current instruction, and not in the cache yet. */
  #made: { readonly parent: StageImage; readonly step: Step; readonly imageId: string }[] = [];
  #recording: Promise<void> = Promise.resolve();

  constructor(job: BuildJobParts, planned: PlannedStage) {
    this.job = job;
    this.planned = planned;
    this.#args = new StageArgs(job.spec.buildArgs, job.plan.globalArgs);
  }

  get image(): StageImage {
    if (this.#image === null) throw new Error("the stage has not begun");
    return this.#image;
  }

  async run(): Promise<StageImage> {
    try {
      await this.#instructions();
      await this.#storing;
      if (this.image.id !== null) this.tell(imageIdMessage(this.image.id));
      await this.#recording;
      return this.image;
    } catch (e) {
      // What was made until here is kept for the cache.
      await this.#storing.catch(() => {});
      await this.#recording.catch(() => {});
      throw e;
    }
  }

  async #instructions(): Promise<void> {
    const { stage, firstStep } = this.planned;
    const { job } = this;
    this.#number = firstStep - 1;
    await this.#step("FROM", stage.from.original, async () => {
      const { image, triggers } = await this.#base();
      this.#image = image;
      if (triggers.length > 0) this.tell(triggersLine(triggers.length));
      this.#inTriggers = true;
      for (const trigger of triggers) await this.#execute(parseTrigger(trigger));
      this.#inTriggers = false;
    });
    const labels = stage.index === job.plan.target ? job.labels : [];
    for (const instruction of [...stage.instructions, ...labels]) await this.#step(instruction.name, instruction.original, () => this.#execute(instruction));
  }

  /** A step from its first line to its last, with a span and a measurement. */
  async #step(instruction: string, original: string, work: () => Promise<void>): Promise<void> {
    this.#begin(original);
    const began = performance.now();
    const attributes = { "gantry.build.step.number": this.#number, "gantry.build.step.instruction": original.slice(0, 200) };
    let outcome: Outcome = "failed" as Outcome;
    try {
      await traced("@gantry/build", `build step ${instruction}`, attributes, async (span) => {
        await work();
        outcome = this.#made.length === 0 && this.#cached ? "cached" : "run";
        span.setAttribute("gantry.build.step.cached", outcome === "cached");
      });
    } finally {
      steps.add(1, { instruction, outcome });
      if (outcome !== "cached") stepDurations.record((performance.now() - began) / 1000, { instruction });
    }
    this.#end();
  }

  #begin(original: string): void {
    const { job } = this;
    job.signal.throwIfAborted();
    this.#number++;
    this.#cached = false;
    job.progress.begin(this.#number);
    this.tell(...stepLine(this.#number, job.totalSteps, original));
  }

  /** The step is written down as over, and then told as over, when the store has its image; only then others may find it in the cache. */
  #end(): void {
    const { job, image } = this;
    const made = this.#made.splice(0);
    const written = job.progress.end(this.#number, made.length === 0 && this.#cached ? "cached" : "done", image.id, made.length === 0 ? null : this.#storing);
    this.tell(imageLine(image.id));
    if (made.length === 0) return;
    this.#recording = this.#recording.then(async () => {
      await written;
      for (const { parent, step, imageId } of made) await job.cache.record(parent, step, imageId);
    });
    // Its failure is met where it is awaited.
    this.#recording.catch(() => {});
  }

  tell(...messages: readonly BuildMessage[]): void {
    this.job.tell(this.planned.stage.index, ...rowsOf(this.#number, ...messages));
  }

  async #base(): Promise<{ image: StageImage; triggers: readonly string[] }> {
    const { base } = this.planned;
    const platform = this.planned.platform || this.job.spec.platform;
    // An earlier attempt's base stays the base, also where its name points at another image by now.
    const before = this.job.progress.imageOf(this.#number);
    const found = before === null ? null : await this.job.images.find(before);
    if (found !== null) return beginStage(storedImage(found.id, found.config, found.layers));
    if (base.kind === "image") return beginStage(await this.job.baseImage(base.ref, platform, (message) => this.tell(message)));
    if (base.kind === "stage") return beginStage(await this.job.stageImage(base.index));
    const { os, architecture, variant } = parsePlatform(platform) ?? hostPlatform();
    return { image: scratchImage({ os, architecture, variant: variant ?? "" }), triggers: [] };
  }

  async #execute(written: Instruction): Promise<void> {
    const env = this.image.run.Env ?? [];
    const values = this.#args.values(env);
    const variables = new Map([...values, ...env.map((pair): [string, string] => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)])]);
    const instruction = expandInstruction(written, variables, this.job.plan.dockerfile.escape);
    switch (instruction.name) {
      case "RUN": return await this.#run(instruction, values);
      case "ADD": return await copyFromContext(this, instruction);
      case "COPY": {
        if (instruction.from === "") return await copyFromContext(this, instruction);
        return await copyFromImage(this, instruction, await this.#source(instruction.from));
      }
      default: return await this.#change(instruction);
    }
  }

  async #source(from: string): Promise<StageImage> {
    const planned = this.planned.copiesFrom.get(from);
    const base: Base = planned ?? baseOf(from, this.job.names, this.planned.stage.index, true);
    if (base.kind === "stage") return await this.job.stageImage(base.index);
    if (base.kind === "scratch") throw new Error("COPY --from cannot be scratch");
    try {
      return await this.job.baseImage(base.ref, this.job.spec.platform, (message) => this.tell(message));
    } catch (e) {
      this.job.signal.throwIfAborted();
      if (e instanceof GantryError) throw fail("BUILD_FAILED", `invalid from flag value ${from}: ${e.message}`, { cause: e });
      throw e;
    }
  }

  async #change(instruction: Exclude<Instruction, InstructionOf<"RUN" | "COPY" | "ADD">>): Promise<void> {
    const change = applyInstruction(this.image.run, instruction, this.#cmdSet);
    const step: Step = {
      run: change.run, author: change.author ?? this.image.author,
      createdBy: nopCreatedBy(change.run, change.comment, instruction.name === "WORKDIR" ? 1 : 2),
    };
    const work = instruction.name === "WORKDIR" ? (id: string) => this.#makeDirectory(id, change.run.WorkingDir!) : async () => null;
    await this.perform({ step, container: true, work });
    if (instruction.name === "CMD" && change.run.Cmd?.length) this.#cmdSet = true;
    if (instruction.name === "ARG") for (const { key, value } of instruction.args) this.#args.declare(key, value);
  }

  async #makeDirectory(containerId: string, path: string): Promise<LayerInfo | null> {
    const { tools, clock } = this.job;
    const { image } = this;
    await fetchLayers(tools, image);
    const binary = Buffer.from(path).toString("latin1");
    return await addLayer(tools, containerId, image, async (view) => planDirectory(binary, view, clock.nowNano()));
  }

  async #run(instruction: InstructionOf<"RUN">, values: ReadonlyMap<string, string>): Promise<void> {
    const { job, image } = this;
    const number = this.#number;
    const { args, script } = runCommand(image.run, instruction);
    const createdBy = [...this.#args.prefix(values), ...args, ...(script === null ? [] : [script.text])].join(" ");
    const network = instruction.network === "" || instruction.network === "default" ? job.spec.networkMode || "default" : instruction.network;
    await this.perform({
      step: { run: image.run, author: image.author, createdBy },
      container: true,
      work: async (containerId) => {
        await fetchLayers(job.tools, image);
        return await runStep(job.tools, {
          containerId, image, args, script,
          env: [...values].map(([key, value]) => `${key}=${value}`),
          networkMode: network, extraHosts: job.spec.extraHosts,
          limits: { memory: job.spec.memory, cpuShares: job.spec.cpuShares, shmSize: job.spec.shmSize },
          onOutput: (stream, text) => job.tell(this.planned.stage.index, outputRow(number, stream, text)),
          ready: () => job.progress.ready(),
          signal: job.signal,
        });
      },
    });
  }

  /** Looks whether the step's image is in the cache, and takes it. */
  async fromCache(step: Step): Promise<boolean> {
    const hit = await this.#own(step) ?? await this.#others(step);
    if (hit === null) return false;
    this.tell(cacheLine);
    this.#image = hit;
    this.#cached = true;
    return true;
  }

  /** What an earlier attempt of this build made of the step: also without a cache. */
  async #own(step: Step): Promise<StageImage | null> {
    const id = this.#inTriggers ? null : this.job.progress.imageOf(this.#number);
    return id === null ? null : await this.job.cache.take(this.image, step, id);
  }

  async #others(step: Step): Promise<StageImage | null> {
    const { spec, cache, cacheFrom } = this.job;
    if (this.#busted || spec.noCache) return null;
    return await cache.find(this.image, step) ?? await cacheFrom?.find(this.image, step) ?? null;
  }

  /** Takes the step from the cache, or does it; either way the stage stands on its image then. */
  async perform({ step, container, work }: StepWork): Promise<void> {
    if (await this.fromCache(step)) return;
    const { job } = this;
    this.#busted = true;
    const containerId = newId();
    if (container) this.tell(runningLine(containerId));
    let layer: LayerInfo | null;
    try {
      layer = await job.slots.run(() => work(containerId));
    } catch (e) {
      if (container && job.spec.forceRm) this.tell(removingLine(containerId));
      throw e;
    }
    const parent = this.image;
    const { image, config } = nextImage(parent, step, layer, rfc3339Nano(job.clock.nowNano()));
    this.#image = image;
    this.#storing = this.#storing.then(() => job.images.put(config, image.layers, parent.id));
    this.#made.push({ parent, step, imageId: image.id! });
    // Its failure is met where it is awaited.
    this.#storing.catch(() => {});
    if (container && job.spec.rm) this.tell(removingLine(containerId));
  }
}
