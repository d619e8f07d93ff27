import { DockerfileError } from "./errors.ts";
import { Flags } from "./flags.ts";
import { parseHealthcheck } from "./healthcheck.ts";
import type { Command, CopyArguments, From, Instruction, Source } from "./instruction.ts";
import type { LogicalLine } from "./lines.ts";
import { didYouMean } from "./suggest.ts";
import { jsonForm, keyValues, plainWords, quotedWords, splitFlags } from "./words.ts";

/** What an instruction's parser gets: text after flags, trimmed. */
interface Input {
  readonly source: Source;
  readonly line: LogicalLine;
  readonly rest: string;
  readonly flags: Flags;
  readonly escape: string;
}

type Parser = (input: Input, name: string) => Instruction | From;

const atLeastOne = (input: Input, name: string): void => {
  if (input.rest === "") throw new DockerfileError(input.line.line, `${name} requires at least one argument`);
};

const exactlyOne = (input: Input, name: string): string => {
  if (input.rest === "") throw new DockerfileError(input.line.line, `${name} requires exactly one argument`);
  return input.rest;
};

function command(input: Input): Command {
  const json = jsonForm(input.line.line, input.rest);
  return json === null ? { shell: true, args: input.rest === "" ? [] : [input.rest] } : { shell: false, args: json };
}

function copyArguments(input: Input, name: string): CopyArguments {
  const words = jsonForm(input.line.line, input.rest) ?? plainWords(input.rest);
  atLeastOne(input, name);
  if (words.length < 2) {
    throw new DockerfileError(input.line.line, `${name} requires at least two arguments, but only one was provided. Destination could not be determined`);
  }
  return {
    sources: words.slice(0, -1),
    destination: words.at(-1)!,
    heredocs: input.line.heredocs,
    chown: input.flags.text("chown"),
    chmod: input.flags.text("chmod"),
    exclude: input.flags.list("exclude"),
  };
}

const PARSERS: Readonly<Record<string, { flags: readonly string[]; parse: Parser }>> = {
  FROM: {
    flags: ["platform"],
    parse: (input) => {
      const words = plainWords(input.rest);
      let as: string | null = null;
      if (words.length === 3 && words[1]!.toLowerCase() === "as") {
        as = words[2]!.toLowerCase();
        if (!/^[a-z][a-z0-9-_.]*$/.test(as)) {
          throw new DockerfileError(input.line.line, `invalid name for build stage: ${JSON.stringify(words[2])}, name can't start with a number or contain symbols`);
        }
      } else if (words.length !== 1) {
        throw new DockerfileError(input.line.line, "FROM requires either one or three arguments");
      }
      return { ...input.source, name: "FROM", image: words[0]!, platform: input.flags.text("platform"), as };
    },
  },
  RUN: {
    flags: ["network", "mount", "security"],
    parse: (input) => {
      for (const flag of ["mount", "security"]) {
        if (input.flags.has(flag)) throw new DockerfileError(input.line.line, `the --${flag} option requires BuildKit`);
      }
      const network = input.flags.text("network");
      if (!["", "default", "none", "host"].includes(network)) throw new DockerfileError(input.line.line, `invalid network mode "${network}"`);
      atLeastOne(input, "RUN");
      return { ...input.source, name: "RUN", command: command(input), heredocs: input.line.heredocs, network };
    },
  },
  CMD: { flags: [], parse: (input) => ({ ...input.source, name: "CMD", command: command(input) }) },
  ENTRYPOINT: { flags: [], parse: (input) => ({ ...input.source, name: "ENTRYPOINT", command: command(input) }) },
  ENV: { flags: [], parse: (input) => ({ ...input.source, name: "ENV", pairs: keyValues(input.line.line, "ENV", input.rest, input.escape) }) },
  LABEL: { flags: [], parse: (input) => ({ ...input.source, name: "LABEL", pairs: keyValues(input.line.line, "LABEL", input.rest, input.escape) }) },
  ARG: {
    flags: [],
    parse: (input) => {
      atLeastOne(input, "ARG");
      const args = quotedWords(input.rest, input.escape).map((word) => {
        const at = word.indexOf("=");
        if (at === 0) throw new DockerfileError(input.line.line, "ARG names can not be blank");
        return at < 0 ? { key: word, value: null } : { key: word.slice(0, at), value: word.slice(at + 1) };
      });
      return { ...input.source, name: "ARG", args };
    },
  },
  COPY: {
    flags: ["chown", "chmod", "from", "link", "exclude", "parents"],
    parse: (input) => {
      if (input.flags.has("parents")) throw new DockerfileError(input.line.line, "the --parents option requires BuildKit");
      return { ...input.source, name: "COPY", from: input.flags.text("from"), ...copyArguments(input, "COPY") };
    },
  },
  ADD: {
    flags: ["chown", "chmod", "link", "exclude", "checksum", "keep-git-dir"],
    parse: (input) => {
      if (input.flags.has("keep-git-dir")) throw new DockerfileError(input.line.line, "the --keep-git-dir option requires BuildKit");
      return { ...input.source, name: "ADD", checksum: input.flags.text("checksum"), ...copyArguments(input, "ADD") };
    },
  },
  WORKDIR: { flags: [], parse: (input) => ({ ...input.source, name: "WORKDIR", path: exactlyOne(input, "WORKDIR") }) },
  USER: { flags: [], parse: (input) => ({ ...input.source, name: "USER", user: exactlyOne(input, "USER") }) },
  STOPSIGNAL: { flags: [], parse: (input) => ({ ...input.source, name: "STOPSIGNAL", signal: exactlyOne(input, "STOPSIGNAL") }) },
  MAINTAINER: { flags: [], parse: (input) => ({ ...input.source, name: "MAINTAINER", maintainer: exactlyOne(input, "MAINTAINER") }) },
  EXPOSE: {
    flags: [],
    parse: (input) => {
      atLeastOne(input, "EXPOSE");
      return { ...input.source, name: "EXPOSE", ports: plainWords(input.rest).sort() };
    },
  },
  VOLUME: {
    flags: [],
    parse: (input) => {
      atLeastOne(input, "VOLUME");
      const paths = (jsonForm(input.line.line, input.rest) ?? plainWords(input.rest)).map((path) => path.trim());
      if (paths.length === 0) throw new DockerfileError(input.line.line, "VOLUME requires at least one argument");
      if (paths.includes("")) throw new DockerfileError(input.line.line, "VOLUME specified can not be an empty string");
      return { ...input.source, name: "VOLUME", paths };
    },
  },
  SHELL: {
    flags: [],
    parse: (input) => {
      atLeastOne(input, "SHELL");
      const shell = jsonForm(input.line.line, input.rest);
      if (shell === null) throw new DockerfileError(input.line.line, "SHELL requires the arguments to be in JSON form");
      if (shell.length === 0) throw new DockerfileError(input.line.line, "SHELL requires at least one argument");
      return { ...input.source, name: "SHELL", shell };
    },
  },
  HEALTHCHECK: {
    flags: ["interval", "timeout", "start-period", "start-interval", "retries"],
    parse: (input) => ({ ...input.source, name: "HEALTHCHECK", check: parseHealthcheck(input.line.line, input.rest, input.flags) }),
  },
  ONBUILD: {
    flags: [],
    parse: (input) => {
      atLeastOne(input, "ONBUILD");
      const trigger = /^\S+/.exec(input.rest)![0].toUpperCase();
      if (trigger === "ONBUILD") throw new DockerfileError(input.line.line, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
      if (trigger === "MAINTAINER" || trigger === "FROM") throw new DockerfileError(input.line.line, `${trigger} isn't allowed as an ONBUILD trigger`);
      const body = input.line.heredocs.map((doc) => `${doc.content}${doc.name}\n`).join("");
      return { ...input.source, name: "ONBUILD", expression: body === "" ? input.rest : `${input.rest}\n${body}` };
    },
  },
};

const NAMES = Object.keys(PARSERS);

/** One logical line as an instruction or a FROM. Throws {@link DockerfileError}. */
export function parseInstruction(line: LogicalLine, escape: string): Instruction | From {
  const match = /^(\S+)(?:[\t\v\f\r ]+([^]*))?$/.exec(line.text)!;
  const written = match[1]!;
  const name = written.toUpperCase();
  const entry = Object.hasOwn(PARSERS, name) ? PARSERS[name]! : null;
  if (entry === null) throw new DockerfileError(line.line, `unknown instruction: ${name}${didYouMean(name, NAMES)}`);
  const { flags, rest } = entry.flags.length > 0 ? splitFlags(match[2] ?? "", escape) : { flags: [], rest: match[2] ?? "" };
  const source = { line: line.line, endLine: line.endLine, original: line.text };
  return entry.parse({ source, line, rest: rest.trim(), flags: Flags.parse(line.line, flags, entry.flags), escape }, name);
}
