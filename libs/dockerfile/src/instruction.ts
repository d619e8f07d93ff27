import type { Heredoc } from "./heredoc.ts";
import type { KeyValue } from "./words.ts";

/** Where an instruction stands, and its text on one line as Docker prints it after `Step 1/3 : `. */
export interface Source {
  readonly line: number;
  readonly endLine: number;
  readonly original: string;
}

/** `args` is one shell text in the shell form. */
export interface Command {
  readonly shell: boolean;
  readonly args: readonly string[];
}

/** Docker's Healthcheck; durations in nanoseconds, 0: inherited. */
export interface Healthcheck {
  readonly test: readonly string[];
  readonly interval: number;
  readonly timeout: number;
  readonly startPeriod: number;
  readonly startInterval: number;
  readonly retries: number;
}

export interface ArgDefinition { readonly key: string; readonly value: string | null }

export interface CopyArguments {
  readonly sources: readonly string[];
  readonly destination: string;
  /** Sources that are here-documents, by their word (`<<EOF`) in `sources`. */
  readonly heredocs: readonly Heredoc[];
  readonly chown: string;
  readonly chmod: string;
  readonly exclude: readonly string[];
}

export interface RunArguments {
  readonly command: Command;
  readonly heredocs: readonly Heredoc[];
  /** "default", "none", "host", or empty where the build's own counts. */
  readonly network: string;
}

/** Parsed, not expanded: `$x` stands as it was written. */
export type Instruction = Source & (
  | ({ readonly name: "RUN" } & RunArguments)
  | { readonly name: "CMD"; readonly command: Command }
  | { readonly name: "ENTRYPOINT"; readonly command: Command }
  | { readonly name: "ENV"; readonly pairs: readonly KeyValue[] }
  | { readonly name: "LABEL"; readonly pairs: readonly KeyValue[] }
  | { readonly name: "ARG"; readonly args: readonly ArgDefinition[] }
  | ({ readonly name: "COPY"; readonly from: string } & CopyArguments)
  | ({ readonly name: "ADD"; readonly checksum: string } & CopyArguments)
  | { readonly name: "WORKDIR"; readonly path: string }
  | { readonly name: "USER"; readonly user: string }
  | { readonly name: "EXPOSE"; readonly ports: readonly string[] }
  | { readonly name: "VOLUME"; readonly paths: readonly string[] }
  | { readonly name: "MAINTAINER"; readonly maintainer: string }
  | { readonly name: "SHELL"; readonly shell: readonly string[] }
  | { readonly name: "STOPSIGNAL"; readonly signal: string }
  | { readonly name: "HEALTHCHECK"; readonly check: Healthcheck }
  | { readonly name: "ONBUILD"; readonly expression: string }
);

export type InstructionName = Instruction["name"];
export type InstructionOf<N extends InstructionName> = Extract<Instruction, { readonly name: N }>;

export interface From extends Source {
  readonly name: "FROM";
  readonly image: string;
  readonly platform: string;
  /** Lower-cased name after AS; null without. */
  readonly as: string | null;
}
