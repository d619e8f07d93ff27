import { shortId } from "@gantry/kernel";

/** One of Docker's progress JSON messages. */
export type BuildMessage = Record<string, unknown>;

/** A line of the log. `step` 0: before the first; one more than there are: after the last. `output`: what a step's program wrote. */
export interface LogRow {
  readonly step: number;
  readonly output: "stdout" | "stderr" | null;
  readonly message: BuildMessage;
}

export const rowsOf = (step: number, ...messages: readonly BuildMessage[]): LogRow[] => messages.map((message) => ({ step, output: null, message }));

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
const RED = "\u001b[91m", PLAIN = "\u001b[0m";
/** What a step writes to its standard error is red. */
export const stderrText = (text: string): BuildMessage => stream(`${RED}${text}${PLAIN}`);
export const outputRow = (step: number, output: "stdout" | "stderr", text: string): LogRow => ({ step, output, message: output === "stderr" ? stderrText(text) : stdoutText(text) });

/** The text that a program wrote, of its {@link outputRow}. */
export function outputText({ output, message }: LogRow): string {
  const text = String(message["stream"] ?? "");
  return output === "stderr" && text.startsWith(RED) && text.endsWith(PLAIN) ? text.slice(RED.length, -PLAIN.length) : text;
}

/** Lines that belong to one attempt of a step, and are another's in the next. */
export function attemptLine({ output, message }: LogRow): "cache" | "running" | "removing" | null {
  const text = message["stream"];
  if (output !== null || typeof text !== "string") return null;
  if (text === cacheLine["stream"]) return "cache";
  if (/^ ---> Running in [0-9a-f]{12}\n$/.test(text)) return "running";
  return /^Removing intermediate container [0-9a-f]{12}\n$/.test(text) ? "removing" : null;
}

export function errorMessage(message: string, code: number | null): BuildMessage {
  return { errorDetail: code === null ? { message } : { code, message }, error: message };
}

export const exitMessage = (command: readonly string[], code: number): string => `The command '${command.join(" ")}' returned a non-zero code: ${code}`;
