const MAX_LINE = 4 * 1024 * 1024;

/** The complete lines of each chunk, together: as many as came at once, none where a chunk has only empty ones. Throws where a line is longer than 4 MiB. */
export async function* lineBatches(body: AsyncIterable<Buffer>): AsyncGenerator<string[]> {
  let rest = Buffer.alloc(0);
  for await (const chunk of body) {
    const end = chunk.lastIndexOf(10);
    if (end < 0) {
      rest = Buffer.concat([rest, chunk]);
      if (rest.length > MAX_LINE) throw new Error("line too long");
      continue;
    }
    const text = Buffer.concat([rest, chunk.subarray(0, end)]).toString("utf8");
    rest = Buffer.from(chunk.subarray(end + 1));
    yield text.split("\n").filter((line) => line !== "");
  }
  if (rest.length > 0) yield [rest.toString("utf8")];
}
