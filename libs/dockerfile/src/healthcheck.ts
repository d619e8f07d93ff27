import { parseDuration } from "./duration.ts";
import { DockerfileError } from "./errors.ts";
import type { Flags } from "./flags.ts";
import type { Healthcheck } from "./instruction.ts";
import { jsonForm } from "./words.ts";

const MINIMUM = 1e6;

export function parseHealthcheck(line: number, rest: string, flags: Flags): Healthcheck {
  if (rest === "") throw new DockerfileError(line, "HEALTHCHECK requires at least one argument");
  const match = /^(\S+)\s*([^]*)$/.exec(rest)!;
  const type = match[1]!.toUpperCase();
  const body = match[2]!;
  if (type === "NONE") {
    if (body !== "") throw new DockerfileError(line, "HEALTHCHECK NONE takes no arguments");
    return { test: ["NONE"], interval: 0, timeout: 0, startPeriod: 0, startInterval: 0, retries: 0 };
  }
  if (type !== "CMD") throw new DockerfileError(line, `Unknown type ${JSON.stringify(type)} in HEALTHCHECK (try CMD)`);
  const json = jsonForm(line, body);
  if (body === "" || json?.length === 0) throw new DockerfileError(line, "Missing command after HEALTHCHECK CMD");

  const duration = (name: string): number => {
    const text = flags.text(name);
    if (text === "") return 0;
    const value = parseDuration(text);
    if (value === null) throw new DockerfileError(line, `time: invalid duration ${JSON.stringify(text)}`);
    if (value < 0) throw new DockerfileError(line, `Interval ${JSON.stringify(name)} cannot be negative`);
    if (value > 0 && value < MINIMUM) throw new DockerfileError(line, `Interval ${JSON.stringify(name)} cannot be less than 1ms`);
    return value;
  };
  const retriesText = flags.text("retries");
  const retries = retriesText === "" ? 0 : Number(retriesText);
  if (!/^-?\d*$/.test(retriesText) || !Number.isSafeInteger(retries) || retries > 2 ** 31 - 1) {
    throw new DockerfileError(line, `--retries must be a number, not ${JSON.stringify(retriesText)}`);
  }
  if (retries < 0) throw new DockerfileError(line, `--retries cannot be negative (${retries})`);
  return {
    test: json === null ? ["CMD-SHELL", body] : ["CMD", ...json],
    interval: duration("interval"),
    timeout: duration("timeout"),
    startPeriod: duration("start-period"),
    startInterval: duration("start-interval"),
    retries,
  };
}
