import { fail } from "@gantry/contracts";

export interface ExecConfig {
  readonly AttachStdin: boolean;
  readonly AttachStdout: boolean;
  readonly AttachStderr: boolean;
  readonly Tty: boolean;
  readonly Env: string[];
  readonly Cmd: string[];
  readonly Privileged: boolean;
  readonly User: string;
  readonly WorkingDir: string;
  readonly DetachKeys: string;
  readonly ConsoleSize: [number, number] | null;
}

const MAX_WORDS = 10_000;

/** Docker's ExecConfig as a client sends it. */
export function readExecConfig(body: Readonly<Record<string, unknown>>): ExecConfig {
  const flag = (name: string) => body[name] === true;
  const text = (name: string) => {
    const value = body[name] ?? "";
    if (typeof value !== "string" || value.includes("\0")) throw fail("INVALID", `invalid value for ${name}: must be a string`);
    return value;
  };
  const words = (name: string) => {
    const value = body[name] ?? [];
    if (!Array.isArray(value) || value.length > MAX_WORDS || !value.every((word) => typeof word === "string" && !word.includes("\0"))) {
      throw fail("INVALID", `invalid value for ${name}: must be a list of strings`);
    }
    return value as string[];
  };
  const cmd = words("Cmd");
  if (cmd.length === 0) throw fail("INVALID", "No exec command specified");
  const size = body["ConsoleSize"];
  return {
    AttachStdin: flag("AttachStdin"), AttachStdout: flag("AttachStdout"), AttachStderr: flag("AttachStderr"), Tty: flag("Tty"), Privileged: flag("Privileged"),
    Env: words("Env"), Cmd: cmd, User: text("User"), WorkingDir: text("WorkingDir"), DetachKeys: text("DetachKeys"), ConsoleSize: readConsoleSize(size),
  };
}

export function readConsoleSize(value: unknown): [number, number] | null {
  return Array.isArray(value) && value.length === 2 && value.every((n) => Number.isInteger(n) && n >= 0 && n <= 65_535) ? [value[0] as number, value[1] as number] : null;
}
