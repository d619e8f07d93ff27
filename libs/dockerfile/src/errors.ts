import { GantryError } from "@gantry/kernel";

/** A fault in a Dockerfile, in the words of Docker's classic builder. `line` counts from 1; 0 where there is none. */
export class DockerfileError extends GantryError {
  readonly line: number;

  constructor(line: number, message: string, options?: { cause?: unknown }) {
    super("INVALID", line > 0 ? `dockerfile parse error line ${line}: ${message}` : message, { ...options, details: { line } });
    this.name = "DockerfileError";
    this.line = line;
  }
}
