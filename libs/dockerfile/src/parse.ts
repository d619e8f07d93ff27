import { DockerfileError } from "./errors.ts";
import type { From, Instruction, InstructionOf } from "./instruction.ts";
import { splitLines } from "./lines.ts";
import { parseInstruction } from "./parse-instruction.ts";

export interface Stage {
  readonly index: number;
  readonly from: From;
  readonly instructions: readonly Instruction[];
}

export interface Dockerfile {
  readonly escape: string;
  /** ARG before the first FROM. */
  readonly globalArgs: readonly InstructionOf<"ARG">[];
  readonly stages: readonly Stage[];
  readonly warnings: readonly string[];
}

const MAX_INSTRUCTIONS = 10_000;

/** Text to stages. Throws {@link DockerfileError} with Docker's words and the line. */
export function parseDockerfile(text: string): Dockerfile {
  const { escape, lines, warnings } = splitLines(text);
  if (lines.length === 0) throw new DockerfileError(0, "file with no instructions");
  if (lines.length > MAX_INSTRUCTIONS) throw new DockerfileError(0, `the Dockerfile has more than ${MAX_INSTRUCTIONS} instructions`);
  const globalArgs: InstructionOf<"ARG">[] = [];
  const stages: { index: number; from: From; instructions: Instruction[] }[] = [];
  for (const line of lines) {
    const parsed = parseInstruction(line, escape);
    if (parsed.name === "FROM") stages.push({ index: stages.length, from: parsed, instructions: [] });
    else if (stages.length > 0) stages.at(-1)!.instructions.push(parsed);
    else if (parsed.name === "ARG") globalArgs.push(parsed);
    else throw new DockerfileError(line.line, "no build stage in current context");
  }
  if (stages.length === 0) throw new DockerfileError(0, "the Dockerfile has no FROM");
  const last = "[WARNING]: Empty continuation lines will become errors in a future release.\n";
  return { escape, globalArgs, stages, warnings: warnings.length > 0 ? [...warnings, last] : [] };
}

/** An ONBUILD trigger of a base image, or a `--change` of commit and import. */
export function parseTrigger(text: string): Instruction {
  const { escape, lines } = splitLines(text);
  if (lines.length !== 1) throw new DockerfileError(0, `invalid instruction ${JSON.stringify(text)}`);
  const parsed = parseInstruction(lines[0]!, escape);
  if (parsed.name === "FROM") throw new DockerfileError(0, "FROM isn't allowed here");
  return parsed;
}
