import { StringDecoder } from "node:string_decoder";
import { fail } from "@gantry/contracts";

export interface ServerEvent { readonly id: string; readonly event: string; readonly data: string }

const LIMIT = 16 << 20;

/** Server-sent events (WHATWG HTML, 9.2) as far as Gantry sends them: one `data` line each; comments are passed over. */
export async function* serverEvents(stream: AsyncIterable<Uint8Array>): AsyncGenerator<ServerEvent> {
  const decoder = new StringDecoder("utf8");
  let rest = "";
  for await (const chunk of stream) {
    rest += decoder.write(Buffer.from(chunk));
    if (rest.length > LIMIT) throw fail("TOO_LARGE", "an event of the engine's answer is too long");
    const blocks = rest.split("\n\n");
    rest = blocks.pop()!;
    for (const block of blocks) {
      const fields = new Map(block.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).replace(/^ /, "")]));
      const data = fields.get("data");
      if (data !== undefined) yield { id: fields.get("id") ?? "", event: fields.get("event") ?? "message", data };
    }
  }
}
