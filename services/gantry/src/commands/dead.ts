import { Command } from "commander";
import { fail } from "@gantry/contracts";
import type { Engine } from "../client/engine.ts";
import { ago, ellipsis, table } from "../client/format.ts";
import { forEachName, withEngine } from "./client.ts";

interface Letter {
  id: string; queue: string; message: string; messageId: string; code: string; reason: string; attempts: number;
  firstFailedAt: string | null; lastFailedAt: string | null; service: string; bytes: number; traceId: string | null;
}

const QUEUE = ["--queue <queue>", "only of scheduler, node.<id> or all node, job.<message>, group.<group>, subscriber"] as const;

/** `gantry dead …`: messages that no service could handle, over /v1/dead. */
export function deadCommand(defaultHost: () => string): Command {
  return new Command("dead").description("messages that could not be handled: why, and what becomes of them")
    .addCommand(list(defaultHost)).addCommand(show(defaultHost)).addCommand(retry(defaultHost)).addCommand(remove(defaultHost));
}

function list(defaultHost: () => string): Command {
  return new Command("ls").description("list dead letters, the oldest first in each queue").option(...QUEUE).option("-n, --limit <count>", "at most so many", "100").option("-q, --quiet", "IDs only")
    .action(withEngine(defaultHost, async (engine: Engine, o: { queue?: string; limit: string; quiet?: boolean }, _command: Command) => {
      const { letters, more } = await engine.json<{ letters: Letter[]; more: boolean }>("GET", "/v1/dead", { query: { queue: o.queue, limit: o.limit } });
      process.stdout.write(o.quiet ? letters.map(({ id }) => `${id}\n`).join("") : letterTable(letters, Date.now()));
      if (more) process.stderr.write("There are more: see --limit.\n");
    }));
}

function show(defaultHost: () => string): Command {
  return new Command("show").description("show a dead letter with its message").argument("<id>").option("--json", "as the API has it")
    .action(withEngine(defaultHost, async (engine: Engine, id: string, o: { json?: boolean }, _command: Command) => {
      const letter = await engine.json<Letter & { body: string; truncated: boolean }>("GET", path(id));
      if (o.json) return void process.stdout.write(`${JSON.stringify(letter, null, 2)}\n`);
      const facts: [string, string | null][] = [
        ["Message", letter.message], ["Key", letter.messageId], ["Queue", letter.queue], ["Reason", `${letter.code}: ${letter.reason}`], ["Attempts", String(letter.attempts)], ["Service", letter.service],
        ["First", letter.firstFailedAt], ["Last", letter.lastFailedAt], ["Trace", letter.traceId], ["Bytes", String(letter.bytes)],
      ];
      process.stdout.write(facts.filter(([, value]) => value !== null && value !== "").map(([name, value]) => `${`${name}:`.padEnd(10)}${value}\n`).join(""));
      process.stdout.write(`\n${readable(letter.body)}\n${letter.truncated ? `(cut: ${letter.bytes} bytes in all)\n` : ""}`);
    }));
}

function retry(defaultHost: () => string): Command {
  return new Command("retry").description("give messages back to their queues").argument("[id...]").option("--all", "all of them").option(...QUEUE)
    .action(withEngine(defaultHost, async (engine: Engine, ids: string[], o: { all?: boolean; queue?: string }, _command: Command) => {
      if ((ids.length > 0) === (o.all === true)) throw fail("INVALID", "give IDs of dead letters (gantry dead ls), or --all, also with --queue");
      if (!o.all) return await forEachName(ids, async (id) => { await engine.json("POST", `${path(id)}/retry`, { query: { queue: o.queue } }); });
      const { retried, kept, reason } = await engine.json<{ retried: number; kept: number; reason: string | null }>("POST", "/v1/dead/retry", { query: { queue: o.queue } });
      process.stdout.write(`${retried} retried, ${kept} kept\n`);
      if (reason === null) return 0;
      process.stderr.write(`${reason}\n`);
      return 1;
    }));
}

function remove(defaultHost: () => string): Command {
  return new Command("rm").description("forget dead letters: what they asked for is never done").argument("<id...>")
    .action(withEngine(defaultHost, (engine: Engine, ids: string[], _options: object, _command: Command) =>
      forEachName(ids, async (id) => { (await engine.open("DELETE", path(id))).resume(); })));
}

export function letterTable(letters: readonly Letter[], now: number): string {
  return table(["ID", "QUEUE", "MESSAGE", "ATTEMPTS", "LAST FAILED", "REASON"], letters.map((l) => [
    l.id, l.queue, l.message, String(l.attempts), l.lastFailedAt === null ? "" : ago((now - Date.parse(l.lastFailedAt)) / 1000), ellipsis(`${l.code}: ${l.reason.replaceAll(/\s+/g, " ")}`, 80),
  ]));
}

/** Indented where it is JSON; control characters of what is not are no terminal's. */
function readable(body: string): string {
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return JSON.stringify(body);
  }
}

function path(id: string): string {
  if (!/^[0-9a-f]{12}$/.test(id)) throw fail("INVALID", `${id} is no ID of a dead letter: give the 12 hex digits that gantry dead ls shows`);
  return `/v1/dead/${id}`;
}
