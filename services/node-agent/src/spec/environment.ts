const DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const keyOf = (entry: string) => entry.split("=", 1)[0]!;

/** Later entries replace earlier ones in place; one without `=` takes the variable away. */
export function replaceEnv(base: readonly string[], overrides: readonly string[]): string[] {
  const result = [...base];
  const gone = new Set<string>();
  for (const entry of overrides) {
    const key = keyOf(entry);
    const at = result.findIndex((known) => keyOf(known) === key);
    if (!entry.includes("=")) gone.add(key);
    else if (at >= 0) result[at] = entry;
    else result.push(entry);
  }
  return result.filter((entry) => !gone.has(keyOf(entry)));
}

/** Docker's order: PATH, HOSTNAME, TERM with a terminal, the container's own; HOME comes last and from the runtime, which knows the user. */
export function containerEnvironment(options: { hostname: string; terminal: boolean; env: readonly string[] }): string[] {
  return replaceEnv([DEFAULT_PATH, ...(options.hostname === "" ? [] : [`HOSTNAME=${options.hostname}`]), ...(options.terminal ? ["TERM=xterm"] : [])], options.env);
}
