import type { InstructionOf } from "@gantry/dockerfile";
import type { RunConfig } from "@gantry/oci";
import { commandLine, shellOf } from "./apply.ts";

export interface RunCommand {
  readonly args: readonly string[];
  /** A here-document that begins with `#!`: it is run itself. */
  readonly script: { readonly path: string; readonly text: string } | null;
}

/**
 * What RUN runs. Here-documents belong to the shell: `RUN <<EOF` gives it the text as a script (or runs it itself where it
 * begins with `#!`), `RUN cat <<EOF` gives it command and text together.
 */
export function runCommand(run: RunConfig, instruction: InstructionOf<"RUN">): RunCommand {
  const { command, heredocs } = instruction;
  if (heredocs.length === 0 || !command.shell) return { args: commandLine(run, command), script: null };
  const [first] = heredocs;
  const alone = /^\d*<<-?(["']?)[A-Za-z_][A-Za-z0-9_.-]*\1$/.test(command.args[0]!.trim());
  if (!alone) {
    const bodies = heredocs.map((doc) => `${doc.content}${doc.name}`).join("\n");
    return { args: [...shellOf(run), `${command.args[0]!}\n${bodies}`], script: null };
  }
  if (first!.content.startsWith("#!")) {
    const path = `/dev/pipes/${first!.name}`;
    return { args: [path], script: { path, text: first!.content } };
  }
  return { args: [...shellOf(run), first!.content], script: null };
}
