import { StringDecoder } from "node:string_decoder";
import { fail } from "@gantry/contracts";

const LINE_LIMIT = 16 << 20;

/** The JSON values of a stream of lines; values may also follow each other without a newline only at line ends. */
export async function* jsonLines<T>(stream: AsyncIterable<Uint8Array>): AsyncGenerator<T> {
  const decoder = new StringDecoder("utf8");
  let rest = "";
  for await (const chunk of stream) {
    rest += decoder.write(Buffer.from(chunk));
    if (rest.length > LINE_LIMIT) throw fail("TOO_LARGE", "a line of the engine's answer is too long");
    const lines = rest.split("\n");
    rest = lines.pop()!;
    for (const line of lines) if (line.trim() !== "") yield JSON.parse(line) as T;
  }
  rest += decoder.end();
  if (rest.trim() !== "") yield JSON.parse(rest) as T;
}

/** A row of Docker's progress stream (jsonmessage). */
export interface ProgressRow {
  stream?: string;
  status?: string;
  id?: string;
  progress?: string;
  progressDetail?: { current?: number; total?: number };
  error?: string;
  errorDetail?: { message: string };
  aux?: { ID?: string; Tag?: string; Digest?: string };
}

/**
 * Prints a progress stream as docker does where its output is not a terminal: no bars. Answers the last `aux` ID.
 * Throws the stream's own error.
 */
export async function printProgress(rows: AsyncIterable<ProgressRow>, out: { write(text: string): unknown }): Promise<string | null> {
  let id: string | null = null;
  for await (const row of rows) {
    const error = row.errorDetail?.message ?? row.error;
    if (error !== undefined) throw fail("BUILD_FAILED", error);
    if (row.aux?.ID !== undefined) id = row.aux.ID;
    if (row.stream !== undefined) out.write(row.stream);
    else if (row.status !== undefined && !hasBar(row)) out.write(`${row.id === undefined || row.id === "" ? "" : `${row.id}: `}${row.status}\n`);
  }
  return id;
}

function hasBar(row: ProgressRow): boolean {
  return (row.progressDetail?.current ?? 0) > 0;
}
