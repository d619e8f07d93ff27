import { GantryError } from "@gantry/kernel";

/**
 * A fault in a Dockerfile, in the words of Docker's classic builder. `line` counts from 1; 0 where there is none. Faults that
 * show only when a step is reached do not name it (`found: "step"`).
 */
export class DockerfileError extends GantryError {
  readonly line: number;

  constructor(line: number, message: string, options?: { cause?: unknown; found?: "parse" | "step" }) {
    super("INVALID", line > 0 && options?.found !== "step" ? `dockerfile parse error line ${line}: ${message}` : message, { cause: options?.cause, details: { line } });
    this.name = "DockerfileError";
    this.line = line;
  }
}
