import type { BuildSpec } from "@gantry/contracts";
import type { BuildPlan, Instruction } from "@gantry/dockerfile";
import type { Clock } from "@gantry/kernel";
import type { LoadedArchive } from "../context/load.ts";
import type { SourceNode } from "../context/tree.ts";
import type { BuildMessage, LogRow } from "../domain/messages.ts";
import type { StageImage } from "../domain/stage-image.ts";
import type { RunTools } from "../steps/run.ts";
import type { Images } from "./images.ts";
import type { CacheFrom, StepCache } from "./step-cache.ts";

/** What the stages of one build share. */
export interface BuildJobParts {
  readonly spec: BuildSpec;
  readonly plan: BuildPlan;
  /** The context without what its .dockerignore hides; an empty one where there is none. */
  readonly context: { readonly root: SourceNode; readonly archive: LoadedArchive | null };
  readonly images: Images;
  readonly cache: StepCache;
  readonly cacheFrom: CacheFrom | null;
  readonly tools: RunTools;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Where archives and downloads of this build are spooled. */
  readonly spoolDir: string;
  /** At most so many steps of the build at once. */
  readonly slots: Slots;
  /** N of `Step 1/N`. */
  readonly totalSteps: number;
  /** Labels of the build, as instructions at the end of the target. */
  readonly labels: readonly Instruction[];
  readonly tell: (stage: number, ...rows: readonly LogRow[]) => void;
  readonly progress: BuildProgress;
  /** The image of an earlier stage, when it is done. */
  readonly stageImage: (index: number) => Promise<StageImage>;
  /** A base image, resolved once for all stages that name it. */
  readonly baseImage: (ref: string, platform: string, tell: (message: BuildMessage) => void) => Promise<StageImage>;
  readonly names: ReadonlyMap<string, number>;
}

/** Where a build says how far it is, and learns how far earlier attempts of it came. */
export interface BuildProgress {
  write(...rows: readonly LogRow[]): void;
  /** Waits where the log is far behind. */
  ready(): Promise<void>;
  plan(instructions: readonly { readonly number: number; readonly instruction: string }[]): void;
  begin(step: number): void;
  /** Resolves when it is written down that the step is over, which is not before `after`. */
  end(step: number, state: "done" | "cached", imageId: string | null, after: Promise<unknown> | null): Promise<void>;
  /** What the step made in an earlier attempt; null: nothing. */
  imageOf(step: number): string | null;
}

/** Lets so many in at once. */
export class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}
