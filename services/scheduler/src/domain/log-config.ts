import { fail, logBoundOf, type HostConfig } from "@gantry/contracts";

/** Options of each driver. What is kept is the same for `json-file` and `local`. */
const OPTIONS: Readonly<Record<string, readonly string[]>> = {
  "json-file": ["max-size", "max-file", "compress", "labels", "labels-regex", "env", "env-regex", "tag", "mode", "max-buffer-size"],
  local: ["max-size", "max-file", "compress", "mode", "max-buffer-size"],
  none: [],
};

/** INVALID for a log driver that is not there, an option that it does not know, or a value that is none: in Docker's words. */
export function checkLogConfig({ Type, Config }: HostConfig["LogConfig"]): void {
  const known = OPTIONS[Type];
  if (known === undefined) throw fail("INVALID", `logger: no log driver named '${Type}' is registered`);
  for (const name of Object.keys(Config)) if (!known.includes(name)) throw fail("INVALID", `unknown log opt '${name}' for ${Type} log driver`);
  const mode = Config["mode"] ?? "";
  if (mode !== "" && mode !== "blocking" && mode !== "non-blocking") throw fail("INVALID", `logger: logging mode not supported: ${mode}`);
  logBoundOf({ Type, Config });
}
