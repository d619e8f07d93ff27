import { fail } from "./errors.ts";

const SIGNALS: Readonly<Record<string, number>> = {
  HUP: 1, INT: 2, QUIT: 3, ILL: 4, TRAP: 5, ABRT: 6, IOT: 6, BUS: 7, FPE: 8, KILL: 9, USR1: 10, SEGV: 11, USR2: 12, PIPE: 13, ALRM: 14,
  TERM: 15, STKFLT: 16, CHLD: 17, CLD: 17, CONT: 18, STOP: 19, TSTP: 20, TTIN: 21, TTOU: 22, URG: 23, XCPU: 24, XFSZ: 25, VTALRM: 26,
  PROF: 27, WINCH: 28, IO: 29, POLL: 29, PWR: 30, SYS: 31, RTMIN: 34, RTMAX: 64,
};

/** A signal by number or name, with or without SIG, `RTMIN+n` and `RTMAX-n` too. INVALID in Docker's words. */
export function parseSignal(given: string): number {
  const bad = () => fail("INVALID", `Invalid signal: ${given}`);
  if (/^\d+$/.test(given)) {
    const number = Number(given);
    if (number < 1 || number > 64) throw bad();
    return number;
  }
  const match = /^(?:SIG)?([A-Z0-9]+)(?:([+-])(\d{1,2}))?$/.exec(given.toUpperCase());
  const base = match ? SIGNALS[match[1]!] : undefined;
  if (!match || base === undefined) throw bad();
  if (match[2] === undefined) return base;
  const number = match[2] === "+" ? base + Number(match[3]) : base - Number(match[3]);
  if (!match[1]!.startsWith("RT") || number < 34 || number > 64) throw bad();
  return number;
}


/** `SIGTERM` for 15: the name by which `docker events` and errors call it, or the number. */
export function signalName(number: number): string {
  const name = Object.keys(SIGNALS).find((key) => SIGNALS[key] === number);
  return name === undefined ? String(number) : `SIG${name}`;
}
