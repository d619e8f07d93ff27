import { DockerfileError } from "./errors.ts";
import { ExpansionError, expandText, expandWord, expandWords, type Variables } from "./expand.ts";
import type { Heredoc } from "./heredoc.ts";
import type { CopyArguments, Instruction } from "./instruction.ts";

/**
 * An instruction with its variables filled in, where Docker does so: ADD, ARG, COPY, ENV, EXPOSE, LABEL, STOPSIGNAL, USER,
 * VOLUME, WORKDIR. RUN, CMD, ENTRYPOINT, SHELL, HEALTHCHECK, MAINTAINER and ONBUILD stay as they are. `variables` are those
 * before the instruction, so `ENV a=1 b=$a` uses the former `a`. Quotes and escapes are taken out.
 */
export function expandInstruction(instruction: Instruction, variables: Variables, escape: string): Instruction {
  const named = <T>(text: string, expand: (text: string, variables: Variables, escape: string) => T): T => {
    try {
      return expand(text, variables, escape);
    } catch (e) {
      if (e instanceof ExpansionError) throw new DockerfileError(instruction.line, `failed to process ${JSON.stringify(text)}: ${e.message}`, { cause: e, found: "step" });
      throw e;
    }
  };
  const word = (text: string): string => named(text, expandWord);
  const copy = <T extends CopyArguments>(args: T): T => {
    const docs = new Set(args.heredocs.map((doc) => doc.name));
    const isDoc = (source: string): boolean => /^\d*<<-?(["']?)(.+)\1$/.test(source) && docs.has(/^\d*<<-?(["']?)(.+)\1$/.exec(source)![2]!);
    return {
      ...args,
      sources: args.sources.map((source) => (isDoc(source) ? source : word(source))),
      destination: word(args.destination),
      chown: word(args.chown),
      chmod: word(args.chmod),
      exclude: args.exclude.map(word),
      heredocs: args.heredocs.map((doc): Heredoc => (doc.expand ? { ...doc, content: named(doc.content, expandText) } : doc)),
    };
  };
  switch (instruction.name) {
    case "ENV":
    case "LABEL":
      return { ...instruction, pairs: instruction.pairs.map(({ key, value }) => ({ key: word(key), value: word(value) })) };
    case "ARG":
      return { ...instruction, args: instruction.args.map(({ key, value }) => ({ key: word(key), value: value === null ? null : word(value) })) };
    case "COPY":
      return copy(instruction);
    case "ADD":
      return copy({ ...instruction, checksum: word(instruction.checksum) });
    case "WORKDIR":
      return { ...instruction, path: word(instruction.path) };
    case "USER":
      return { ...instruction, user: word(instruction.user) };
    case "STOPSIGNAL":
      return { ...instruction, signal: word(instruction.signal) };
    case "VOLUME":
      return { ...instruction, paths: instruction.paths.map(word) };
    case "EXPOSE":
      return { ...instruction, ports: instruction.ports.flatMap((port) => named(port, expandWords)) };
    default:
      return instruction;
  }
}
