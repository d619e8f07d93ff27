import type { Duplex, Writable } from "node:stream";
import type { Engine } from "./engine.ts";

const HEADER = 8;

/** Splits Docker's multiplexed stream (stdcopy: stream, 0, 0, 0, length big-endian) into stdout and stderr; ends with the stream. */
export async function demultiplex(stream: AsyncIterable<Uint8Array>, stdout: Writable, stderr: Writable): Promise<void> {
  let rest = Buffer.alloc(0);
  let left = 0;
  let to = stdout;
  for await (const chunk of stream) {
    let data = rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([rest, chunk]);
    for (;;) {
      if (left === 0) {
        if (data.length < HEADER) break;
        to = data[0] === 2 ? stderr : stdout;
        left = data.readUInt32BE(4);
        data = data.subarray(HEADER);
      }
      if (data.length === 0) break;
      const part = data.subarray(0, left);
      left -= part.length;
      data = data.subarray(part.length);
      await write(to, part);
    }
    rest = Buffer.from(data);
  }
}

export async function copyTo(stream: AsyncIterable<Uint8Array>, to: Writable): Promise<void> {
  for await (const chunk of stream) await write(to, Buffer.from(chunk));
}

function write(to: Writable, data: Buffer): Promise<void> | void {
  if (to.write(data)) return;
  return new Promise((resolve) => to.once("drain", resolve));
}

/**
 * Joins this process's terminal or pipes to an attached stream until it ends. With `tty` the terminal is raw and `resize` is
 * called with its size at once and on each change.
 */
export async function interact(
  attached: { stream: Duplex; multiplexed: boolean },
  options: { stdin: boolean; tty: boolean; resize(size: { h: number; w: number }): Promise<unknown> },
): Promise<void> {
  const raw = options.tty && options.stdin && process.stdin.isTTY;
  const resize = () => { options.resize({ h: process.stdout.rows, w: process.stdout.columns }).catch(() => {}); }; // the container may have ended
  if (options.stdin) {
    if (raw) process.stdin.setRawMode(true);
    process.stdin.pipe(attached.stream);
  } else if (!options.tty) {
    attached.stream.end();
  }
  if (options.tty && process.stdout.isTTY) {
    resize();
    process.stdout.on("resize", resize);
  }
  try {
    if (options.tty || !attached.multiplexed) await copyTo(attached.stream, process.stdout);
    else await demultiplex(attached.stream, process.stdout, process.stderr);
  } finally {
    process.stdout.off("resize", resize);
    if (raw) process.stdin.setRawMode(false);
    if (options.stdin) {
      process.stdin.unpipe(attached.stream);
      process.stdin.destroy();
    }
  }
}

/** The exit code of a container, once it is in `condition`; resolves the request as soon as the engine accepted it. */
export async function waitFor(engine: Engine, id: string, condition: "not-running" | "next-exit" | "removed"): Promise<{ code: Promise<number> }> {
  const response = await engine.open("POST", `/containers/${id}/wait`, { query: { condition } });
  const code = (async () => {
    let text = "";
    for await (const chunk of response) text += String(chunk);
    return (JSON.parse(text) as { StatusCode: number }).StatusCode;
  })();
  code.catch(() => {}); // read by the caller later
  return { code };
}
