import { DockerfileError } from "./errors.ts";
import { ExpansionError, expandWord } from "./expand.ts";
import type { Dockerfile, Stage } from "./parse.ts";

/** What a stage or a `COPY --from` builds on. */
export type Base =
  | { readonly kind: "scratch" }
  | { readonly kind: "stage"; readonly index: number }
  | { readonly kind: "image"; readonly ref: string };

export interface PlannedStage {
  readonly stage: Stage;
  readonly base: Base;
  readonly platform: string;
  /** `COPY --from` values, by what was written. */
  readonly copiesFrom: ReadonlyMap<string, Base>;
  /** Indices of the stages that must be finished or (for `copiesFrom`) reached first. */
  readonly needs: readonly number[];
  /** Step number of its FROM, from 1. */
  readonly firstStep: number;
}

export interface BuildPlan {
  readonly dockerfile: Dockerfile;
  /** In the order of the Dockerfile. */
  readonly stages: readonly PlannedStage[];
  readonly target: number;
  /** N of `Step 1/N`. */
  readonly totalSteps: number;
  readonly globalArgs: ReadonlyMap<string, string>;
}

export interface PlanInput {
  readonly buildArgs: Readonly<Record<string, string | null>>;
  /** Name or index of a stage; empty: the last one. */
  readonly target: string;
  /** Platform values as automatic global args (TARGETPLATFORM …). */
  readonly platformArgs: Readonly<Record<string, string>>;
}

/**
 * Stages with their bases and needs. Without a target all stages are built, as the classic builder does; with one, only
 * the stages it needs. Throws {@link DockerfileError}.
 */
export function planBuild(dockerfile: Dockerfile, input: PlanInput): BuildPlan {
  const globalArgs = new Map<string, string>(Object.entries(input.platformArgs));
  for (const instruction of dockerfile.globalArgs) {
    for (const { key, value } of instruction.args) {
      const given = Object.hasOwn(input.buildArgs, key) ? input.buildArgs[key] : undefined;
      if (typeof given === "string") globalArgs.set(key, given);
      else if (value !== null) globalArgs.set(key, expand(value, globalArgs, dockerfile.escape, instruction.line, "ARG"));
    }
  }

  const names = new Map<string, number>();
  const all = dockerfile.stages.map((stage) => {
    const { from } = stage;
    const ref = expand(from.image, globalArgs, dockerfile.escape, from.line, "FROM");
    if (ref === "") throw new DockerfileError(from.line, `base name (${from.image}) should not be blank`);
    const base = baseOf(ref, names, stage.index, false);
    const copiesFrom = new Map<string, Base>();
    for (const copy of stage.instructions) {
      if (copy.name === "COPY" && copy.from !== "") copiesFrom.set(copy.from, baseOf(copy.from, names, stage.index, true));
    }
    if (from.as !== null) names.set(from.as, stage.index);
    const needs = new Set<number>();
    for (const need of [base, ...copiesFrom.values()]) if (need.kind === "stage") needs.add(need.index);
    const platform = expand(from.platform, globalArgs, dockerfile.escape, from.line, "FROM");
    return { stage, base, platform, copiesFrom, needs: [...needs].sort((a, b) => a - b), firstStep: 0 };
  });

  const target = targetOf(input.target, names, all.length);
  const wanted = new Set(input.target === "" ? all.keys() : reach(target, all.map((s) => s.needs)));
  let step = dockerfile.globalArgs.length + 1;
  const stages: PlannedStage[] = [];
  for (const planned of all) {
    if (!wanted.has(planned.stage.index)) continue;
    stages.push({ ...planned, firstStep: step });
    step += 1 + planned.stage.instructions.length;
  }
  return { dockerfile, stages, target, totalSteps: step - 1, globalArgs };
}

/** What a name means at stage `before`: an earlier stage by name (or, for COPY, by index), or an image. */
export function baseOf(ref: string, names: ReadonlyMap<string, number>, before: number, allowIndex: boolean): Base {
  const named = names.get(ref.toLowerCase());
  if (named !== undefined) return { kind: "stage", index: named };
  if (allowIndex && /^\d+$/.test(ref)) {
    const index = Number(ref);
    if (index < before) return { kind: "stage", index };
    throw new DockerfileError(0, `invalid from flag value ${ref}: ${index === before ? "refers to current build stage" : "index out of bounds"}`);
  }
  return ref === "scratch" && !allowIndex ? { kind: "scratch" } : { kind: "image", ref };
}

function targetOf(target: string, names: ReadonlyMap<string, number>, count: number): number {
  if (target === "") return count - 1;
  const named = names.get(target.toLowerCase());
  if (named !== undefined) return named;
  const index = /^\d+$/.test(target) ? Number(target) : count;
  if (index >= count) throw new DockerfileError(0, `failed to reach build target ${target} in Dockerfile`);
  return index;
}

function reach(target: number, needs: readonly (readonly number[])[]): Set<number> {
  const seen = new Set<number>();
  const visit = [target];
  for (let index = visit.pop(); index !== undefined; index = visit.pop()) {
    if (seen.has(index)) continue;
    seen.add(index);
    visit.push(...needs[index]!);
  }
  return seen;
}

function expand(word: string, variables: ReadonlyMap<string, string>, escape: string, line: number, name: string): string {
  try {
    return expandWord(word, variables, escape);
  } catch (e) {
    if (e instanceof ExpansionError) throw new DockerfileError(line, `failed to process arguments for ${name} ${word}: ${e.message}`, { cause: e });
    throw e;
  }
}
