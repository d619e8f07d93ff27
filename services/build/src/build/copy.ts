import { fail } from "@gantry/contracts";
import { IgnoreMatcher, type InstructionOf } from "@gantry/dockerfile";
import { newId } from "@gantry/kernel";
import { canonicalJson, digestOf } from "@gantry/oci";
import { nopCreatedBy } from "../domain/apply.ts";
import { planCopy } from "../domain/copy-plan.ts";
import { type CopySource, selectSources, sourcesHash } from "../domain/copy-sources.ts";
import { parseMode, parseOwner } from "../domain/owner.ts";
import type { StageImage } from "../domain/stage-image.ts";
import { binary, readable } from "../context/tree.ts";
import { isGitUrl, isUrl } from "../steps/download.ts";
import { ImageSource } from "../steps/image-source.ts";
import { addLayer, chainOf, fetchLayers, withView } from "../steps/layers.ts";
import { ArchiveReader, extracted, heredocSource, remoteSource } from "../steps/sources.ts";
import type { StageBuild } from "./stage.ts";

type Copy = InstructionOf<"COPY"> | InstructionOf<"ADD">;

/** COPY and ADD of the build context, here-documents and URLs. */
export async function copyFromContext(stage: StageBuild, instruction: Copy): Promise<void> {
  const { job } = stage;
  await using scope = new AsyncDisposableStack();
  const { root, archive } = job.context;
  const content = archive === null ? null : scope.use(new ArchiveReader({ bytes: archive.bytes, end: archive.size }));
  const sources: CopySource[] = [];
  for (const source of instruction.sources) {
    const doc = instruction.heredocs.find(({ name }) => new RegExp(`^\\d*<<-?(["']?)${name.replace(/[.-]/g, "\\$&")}\\1$`).test(source));
    if (doc !== undefined) sources.push(heredocSource(doc, job.clock.nowNano()));
    else if (instruction.name === "ADD" && isGitUrl(source)) throw fail("NOT_IMPLEMENTED", `ADD failed: ${source}: adding a git repository is not supported: clone it in a RUN step`);
    else if (instruction.name === "ADD" && isUrl(source)) {
      sources.push(await remoteSource(source, instruction.destination, instruction.checksum, job.spoolDir, scope, job.signal));
    } else if (isUrl(source)) throw fail("BUILD_FAILED", `source can't be a URL for ${instruction.name}`);
    else sources.push(...selectSources(root, [source], { instruction: instruction.name, content: content ?? { read: async function* read() {} } }));
  }
  checkDestination(instruction, sources);
  const hash = sourcesHash(sources, included(instruction));
  const unpacked = async (): Promise<CopySource[]> => {
    if (instruction.name !== "ADD" || archive === null) return sources;
    return await Promise.all(sources.map((source) => (source.content === content ? extracted(source, archive.bytes, job.spoolDir, scope) : source)));
  };
  await perform(stage, instruction, hash, unpacked);
}

/** COPY --from. What was copied once from the same layers is not read again to find the step in the cache. */
export async function copyFromImage(stage: StageBuild, instruction: InstructionOf<"COPY">, from: StageImage): Promise<void> {
  const { job } = stage;
  const key = digestOf(canonicalJson(["source 1", chainOf(from), instruction.sources, instruction.exclude]));
  const known = await job.cache.source(key);
  if (known !== null && await stage.fromCache(stepOf(stage, instruction, known))) return;
  await fetchLayers(job.tools, from);
  await withView(job.tools, newId(), from, async (view) => {
    const sources = await new ImageSource(job.tools.native, view).select(instruction.sources);
    checkDestination(instruction, sources);
    const hash = sourcesHash(sources, included(instruction));
    await job.cache.recordSource(key, hash);
    await perform(stage, instruction, hash, async () => sources);
  });
}

async function perform(stage: StageBuild, instruction: Copy, hash: string, sources: () => Promise<readonly CopySource[]>): Promise<void> {
  const { job, image } = stage;
  const mode = parseMode(instruction.chmod);
  await stage.perform({
    step: stepOf(stage, instruction, hash),
    container: false,
    work: async (id) => {
      await fetchLayers(job.tools, image);
      const taken = await sources();
      return await addLayer(job.tools, id, image, async (view) => {
        const owner = instruction.chown === "" ? null : parseOwner(instruction.chown, view.text("/etc/passwd"), view.text("/etc/group"));
        return planCopy(taken, view, {
          instruction: instruction.name, destination: binary(instruction.destination), workdir: binary(image.run.WorkingDir ?? ""), owner, mode,
          nowNs: job.clock.nowNano(), include: included(instruction) ?? (() => true),
        });
      });
    },
  });
}

/** The history's line has no space after the owner, as Docker's. */
function stepOf(stage: StageBuild, { name, chown, chmod, destination }: Copy, hash: string) {
  const { run, author } = stage.image;
  const comment = `${name} ${chown === "" ? "" : `--chown=${chown}`}${chmod === "" ? "" : `--chmod=${chmod} `}${hash} in ${destination} `;
  return { run, author, createdBy: nopCreatedBy(run, comment, 1) };
}

function included({ exclude }: Copy): ((relative: string) => boolean) | null {
  if (exclude.length === 0) return null;
  const matcher = new IgnoreMatcher(exclude);
  return (relative) => !matcher.ignores(readable(relative));
}

function checkDestination({ name, destination }: Copy, sources: readonly CopySource[]): void {
  if (sources.length > 1 && !destination.endsWith("/") && destination !== "." && !destination.endsWith("/.")) {
    throw fail("BUILD_FAILED", `When using ${name} with more than one source file, the destination must be a directory and end with a /`);
  }
}
