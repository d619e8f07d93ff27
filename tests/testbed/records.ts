import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Layout } from "./layout.ts";
import type { ProcessMark } from "./processes.ts";

/** What a testbed's directory tells others of it: its layout, and the mark of each process started last under a name. */
export class Records {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  get exists(): boolean {
    return existsSync(join(this.#dir, "layout.json"));
  }

  create(layout: Layout): void {
    for (const sub of ["logs", "hosts", "processes", "keepers", "wires"]) mkdirSync(join(this.#dir, sub), { recursive: true, mode: 0o755 });
    this.#write("layout.json", layout);
  }

  layout(): Layout {
    return this.#read<Layout>("layout.json")!;
  }

  /** Of a service or broker, by its name. */
  process(name: string): ProcessMark | null {
    return this.#read<ProcessMark>(`processes/${name}.json`);
  }

  setProcess(name: string, mark: ProcessMark): void {
    this.#write(`processes/${name}.json`, mark);
  }

  /** Of what holds a host, by the host's name. */
  keeper(host: string): ProcessMark | null {
    return this.#read<ProcessMark>(`keepers/${host}.json`);
  }

  setKeeper(host: string, mark: ProcessMark): void {
    this.#write(`keepers/${host}.json`, mark);
  }

  /** Of the program that delays a host's traffic. */
  wire(host: string): ProcessMark | null {
    return this.#read<ProcessMark>(`wires/${host}.json`);
  }

  setWire(host: string, mark: ProcessMark | null): void {
    this.#write(`wires/${host}.json`, mark);
  }

  remove(): void {
    rmSync(this.#dir, { recursive: true, force: true, maxRetries: 5 });
  }

  /** Whole or not at all: others read while this writes. */
  #write(file: string, value: unknown): void {
    const path = join(this.#dir, file);
    writeFileSync(`${path}.${process.pid}`, JSON.stringify(value));
    renameSync(`${path}.${process.pid}`, path);
  }

  #read<T>(file: string): T | null {
    const path = join(this.#dir, file);
    return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) as T : null;
  }
}
