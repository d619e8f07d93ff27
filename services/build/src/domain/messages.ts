import { shortId } from "@gantry/kernel";

/** One of Docker's progress JSON messages. */
export type BuildMessage = Record<string, unknown>;

const stream = (text: string): BuildMessage => ({ stream: text });

/** The classic builder's lines, as separate messages where the classic builder writes separately. */
export const stepLine = (step: number, total: number, original: string): BuildMessage[] => [stream(`Step ${step}/${total} : ${original}`), stream("\n")];
/** `id` null: FROM scratch. */
export const imageLine = (id: string | null): BuildMessage => stream(` ---> ${id === null ? "" : shortId(id)}\n`);
export const cacheLine: BuildMessage = stream(" ---> Using cache\n");
export const runningLine = (containerId: string): BuildMessage => stream(` ---> Running in ${shortId(containerId)}\n`);
export const removingLine = (containerId: string): BuildMessage => stream(`Removing intermediate container ${shortId(containerId)}\n`);
export const triggersLine = (count: number): BuildMessage => stream(`# Executing ${count} build trigger${count > 1 ? "s" : ""}\n`);
export const imageIdMessage = (id: string): BuildMessage => ({ aux: { ID: id } });
export const builtLine = (id: string): BuildMessage => stream(`Successfully built ${shortId(id)}\n`);
export const taggedLine = (name: string): BuildMessage => stream(`Successfully tagged ${name}\n`);
export const unusedArgsLine = (names: readonly string[]): BuildMessage => stream(`[Warning] One or more build-args [${names.join(" ")}] were not consumed\n`);
export const quietLine = (id: string): BuildMessage => stream(`${id}\n`);
export const stdoutText = stream;
/** What a step writes to its standard error is red. */
export const stderrText = (text: string): BuildMessage => stream(`\u001b[91m${text}\u001b[0m`);

export function errorMessage(message: string, code: number | null): BuildMessage {
  return { errorDetail: code === null ? { message } : { code, message }, error: message };
}

export const exitMessage = (command: readonly string[], code: number): string => `The command '${command.join(" ")}' returned a non-zero code: ${code}`;
