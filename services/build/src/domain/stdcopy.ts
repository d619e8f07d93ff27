/** Takes Docker's raw stream apart: frames of 8 bytes (stream, 0, 0, 0, length big-endian) and their content. */
export class StdcopySplitter {
  readonly #emit: (stream: "stdout" | "stderr", bytes: Buffer) => void;
  #header = Buffer.alloc(0);
  #left = 0;
  #stream: "stdout" | "stderr" = "stdout";

  constructor(emit: (stream: "stdout" | "stderr", bytes: Buffer) => void) {
    this.#emit = emit;
  }

  push(chunk: Buffer): void {
    for (let at = 0; at < chunk.length;) {
      if (this.#left === 0) {
        const take = Math.min(8 - this.#header.length, chunk.length - at);
        this.#header = Buffer.concat([this.#header, chunk.subarray(at, at + take)]);
        at += take;
        if (this.#header.length < 8) return;
        this.#stream = this.#header[0] === 2 ? "stderr" : "stdout";
        this.#left = this.#header.readUInt32BE(4);
        this.#header = Buffer.alloc(0);
        continue;
      }
      const piece = chunk.subarray(at, at + this.#left);
      at += piece.length;
      this.#left -= piece.length;
      this.#emit(this.#stream, piece);
    }
  }
}
