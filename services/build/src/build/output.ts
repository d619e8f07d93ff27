import type { LogRow } from "../domain/messages.ts";

/**
 * The lines of stages that run at once, told stage by stage in the order of the Dockerfile: the first unfinished stage tells at
 * once, later ones are held until it is their turn.
 */
export class OrderedOutput {
  readonly #tell: (...rows: readonly LogRow[]) => void;
  readonly #held: LogRow[][];
  readonly #done: boolean[];
  #turn = 0;

  constructor(stages: number, tell: (...rows: readonly LogRow[]) => void) {
    this.#tell = tell;
    this.#held = Array.from({ length: stages }, () => []);
    this.#done = Array.from({ length: stages }, () => false);
  }

  write(stage: number, ...rows: readonly LogRow[]): void {
    if (stage <= this.#turn) this.#tell(...rows);
    else this.#held[stage]!.push(...rows);
  }

  end(stage: number): void {
    this.#done[stage] = true;
    while (this.#done[this.#turn] === true) {
      this.#turn++;
      this.#tell(...(this.#held[this.#turn]?.splice(0) ?? []));
    }
  }

  /** After a failure: tells what stages up to the failed one have held. */
  flush(stage: number): void {
    for (let at = this.#turn; at <= stage; at++) this.#tell(...this.#held[at]!.splice(0));
    this.#turn = Math.max(this.#turn, stage);
  }
}
