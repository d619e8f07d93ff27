import { Command, Option } from "commander";
import { fail, ROLES, type TokenInfo } from "@gantry/contracts";
import type { Engine } from "../client/engine.ts";
import { ago, table } from "../client/format.ts";
import { forEachName, withEngine } from "./client.ts";

/** Bearer tokens for the HTTP API. */
export function tokenCommand(defaultHost: () => string): Command {
  const parent = new Command("token").description("manage bearer tokens for the HTTP API");
  parent.command("create").description("make a token and print it, this once")
    .addOption(new Option("--role <role>", "what it may do: viewer reads; builder also builds, pulls and pushes images; admin everything").choices(ROLES).default("viewer"))
    .option("--name <name>", "for people to tell tokens apart", "")
    .option("--expires <when>", "how long it holds, as 30d, 12h or 45m, or a time as 2027-01-31T12:00:00Z; default: until it is removed")
    .action(withEngine(defaultHost, async (engine: Engine, options: { role: string; name: string; expires?: string }, _command: Command) => {
      const expires = options.expires === undefined ? null : expiry(options.expires, Date.now());
      const made = await engine.json<TokenInfo & { token: string }>("POST", "/v1/tokens", { body: { role: options.role, name: options.name, expires } });
      process.stdout.write(`${made.token}\n`);
      process.stderr.write(`Token ${made.id}, role ${made.role}, ${made.expires === null ? "until it is removed" : `until ${made.expires}`}. It is not shown again.\n`);
    }));
  parent.command("ls").description("list tokens").action(withEngine(defaultHost, async (engine: Engine, _options: object, _command: Command) => {
    const { tokens } = await engine.json<{ tokens: TokenInfo[] }>("GET", "/v1/tokens");
    process.stdout.write(tokenTable(tokens, Date.now()));
  }));
  parent.command("rm").description("remove tokens: they stop working at once").argument("<id...>")
    .action(withEngine(defaultHost, (engine: Engine, ids: string[], _options: object, _command: Command) =>
      forEachName(ids, async (id) => { (await engine.open("DELETE", `/v1/tokens/${encodeURIComponent(id)}`)).resume(); })));
  return parent;
}

const UNITS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 7 * 86_400_000 };

/** RFC 3339. Throws INVALID for what is neither a span nor a time. */
export function expiry(text: string, now: number): string {
  const [, count, unit] = /^([1-9][0-9]{0,5})([mhdw])$/.exec(text) ?? [];
  const at = unit === undefined ? (/^[0-9]{4}-/.test(text) ? Date.parse(text) : Number.NaN) : now + Number(count) * UNITS[unit]!;
  if (Number.isNaN(at)) throw fail("INVALID", `--expires ${text}: give a span as 30d, 12h or 45m, or a time as 2027-01-31T12:00:00Z`);
  return new Date(at).toISOString();
}

export function tokenTable(tokens: readonly TokenInfo[], now: number): string {
  const since = (time: string) => ago((now - Date.parse(time)) / 1000);
  return table(["ID", "NAME", "ROLE", "CREATED", "EXPIRES", "LAST USED"], tokens.map(({ id, name, role, created, expires, lastUsed }) => [
    id, name, role, since(created), expires === null ? "never" : Date.parse(expires) <= now ? "expired" : expires.replace(/\.[0-9]+Z$/, "Z"), lastUsed === null ? "never" : since(lastUsed),
  ]));
}
