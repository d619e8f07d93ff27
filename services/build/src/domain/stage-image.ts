import type { LayerInfo } from "@gantry/contracts";
import { canonicalJson, digestOf, type History, type ImageConfig, imageConfigText, type RunConfig } from "@gantry/oci";

/** The image as a stage has it so far. Never changed: each step makes a new one. */
export interface StageImage {
  /** null: FROM scratch, before the first step. */
  readonly id: string | null;
  readonly run: RunConfig;
  readonly author: string;
  readonly platform: { readonly os: string; readonly architecture: string; readonly variant: string };
  readonly history: readonly History[];
  /** Bottom first. */
  readonly layers: readonly LayerInfo[];
}

export interface Step {
  readonly run: RunConfig;
  readonly author: string;
  readonly createdBy: string;
}

export const DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export function scratchImage(platform: StageImage["platform"]): StageImage {
  return { id: null, run: { Env: [DEFAULT_PATH] }, author: "", platform, history: [], layers: [] };
}

/** What a stage starts from: the base without its triggers, with a PATH. `triggers` are the ONBUILD instructions to run first. */
export function beginStage(base: StageImage): { image: StageImage; triggers: readonly string[] } {
  const { OnBuild, ...run } = base.run;
  const env = run.Env ?? [];
  const Env = env.some((pair) => pair.startsWith("PATH=")) ? env : [...env, DEFAULT_PATH];
  return { image: { ...base, run: { ...run, Env }, author: "" }, triggers: OnBuild ?? [] };
}

/** An image of the store as a stage's base. */
export function storedImage(id: string, config: ImageConfig, layers: readonly LayerInfo[]): StageImage {
  return {
    id, layers, run: config.config ?? {}, author: config.author ?? "", history: config.history ?? [],
    platform: { os: config.os, architecture: config.architecture, variant: config.variant ?? "" },
  };
}

/** The config text of the image that `step` makes, its ID, and the image. `layer` null: nothing of the file system changed. */
export function nextImage(image: StageImage, step: Step, layer: LayerInfo | null, created: string): { image: StageImage; config: string } {
  const entry: History = { created, created_by: step.createdBy };
  if (step.author !== "") entry.author = step.author;
  if (layer === null) entry.empty_layer = true;
  const history = [...image.history, entry];
  const layers = layer === null ? image.layers : [...image.layers, layer];
  const config: ImageConfig = {
    created,
    architecture: image.platform.architecture,
    os: image.platform.os,
    config: step.run,
    rootfs: { type: "layers", diff_ids: layers.map((l) => l.diffId) },
    history,
  };
  if (image.platform.variant !== "") config.variant = image.platform.variant;
  if (step.author !== "") config.author = step.author;
  const text = imageConfigText(config);
  return { image: { ...image, id: digestOf(text), run: step.run, author: step.author, history, layers }, config: text };
}

/**
 * Whether `config` is what `step` would make of `image`: same layers below, same history, same settings. Times are not compared.
 * What a cache says is believed only after this.
 */
export function isResultOf(config: ImageConfig, image: StageImage, step: Step): boolean {
  const history = config.history ?? [];
  const last = history.at(-1);
  const diffIds = config.rootfs.diff_ids ?? [];
  return history.length === image.history.length + 1
    && last?.created_by === step.createdBy
    && canonicalJson(history.slice(0, -1)) === canonicalJson(image.history)
    && canonicalJson(config.config ?? {}) === canonicalJson(step.run)
    && (config.author ?? "") === step.author
    && diffIds.length === image.layers.length + (last.empty_layer === true ? 0 : 1)
    && image.layers.every((layer, i) => layer.diffId === diffIds[i]);
}

/** The cached image in place of running the step. */
export function cachedImage(image: StageImage, step: Step, id: string, config: ImageConfig, layers: readonly LayerInfo[]): StageImage {
  return { ...image, id, run: step.run, author: step.author, history: config.history ?? [], layers };
}

/** Key of a step in the build cache: its parent and all that decides its outcome. */
export function cacheKey(image: StageImage, step: Step): string {
  const parent = image.id ?? `scratch ${Object.values(image.platform).join("/")}`;
  return digestOf(canonicalJson(["step 1", parent, step.createdBy, step.run, step.author]));
}
