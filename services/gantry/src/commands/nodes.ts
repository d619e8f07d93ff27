import { Command } from "commander";
import { ago, humanSize, table } from "../client/format.ts";
import type { Engine } from "../client/engine.ts";
import { forEachName, withEngine } from "./client.ts";

interface Node {
  id: string; name: string; state: string; since: string; availability: string;
  capacity: { cpus: number; memoryBytes: number }; reserved: { cpus: number; memoryBytes: number }; used: { memoryBytes: number | null }; containers: { total: number; running: number };
}
interface Why {
  name: string; nodeId: string; decidedAt: string;
  rejected: { nodeId: string; reason: string }[];
  scores: { nodeId: string; score: number; parts: Record<string, number> }[];
}

const path = (text: string) => encodeURIComponent(text);

/** `gantry node …` and `gantry why`, over /v1. */
export function nodeCommands(defaultHost: () => string): Command[] {
  const change = (name: string, description: string, availability: string) => new Command(name).description(description).argument("<node...>")
    .action(withEngine(defaultHost, async (engine: Engine, names: string[], _options: object, _command: Command) =>
      await forEachName(names, async (node) => { await engine.json("PATCH", `/v1/nodes/${path(node)}`, { body: { availability } }); })));
  const node = new Command("node").description("the hosts")
    .addCommand(list(defaultHost))
    .addCommand(new Command("inspect").description("all that is known of nodes, as JSON").argument("<node...>")
      .action(withEngine(defaultHost, async (engine: Engine, names: string[], _options: object, _command: Command) => {
        const nodes = await Promise.all(names.map((name) => engine.json("GET", `/v1/nodes/${path(name)}`)));
        process.stdout.write(`${JSON.stringify(nodes, null, 4)}\n`);
      })))
    .addCommand(change("drain", "place nothing more there; what is there stays", "drain"))
    .addCommand(change("activate", "end a drain", "active"));
  return [node, why(defaultHost)];
}

function list(defaultHost: () => string): Command {
  return new Command("ls").description("list nodes").option("-q, --quiet", "IDs only").action(withEngine(defaultHost, async (engine: Engine, o: { quiet?: boolean }, _command: Command) => {
    const { nodes } = await engine.json<{ nodes: Node[] }>("GET", "/v1/nodes");
    if (o.quiet) return void process.stdout.write(nodes.map(({ id }) => `${id}\n`).join(""));
    process.stdout.write(table(["NODE", "HOST NAME", "STATE", "SINCE", "AVAILABILITY", "CONTAINERS", "CPUS", "MEMORY"], nodes.map((n) => [
      n.id, n.name, n.state, ago((Date.now() - Date.parse(n.since)) / 1000), n.availability, `${n.containers.running}/${n.containers.total}`, `${n.reserved.cpus}/${n.capacity.cpus}`,
      `${humanSize(n.reserved.memoryBytes)}/${humanSize(n.capacity.memoryBytes)}`,
    ])));
  }));
}

function why(defaultHost: () => string): Command {
  return new Command("why").description("why a container is on its node").argument("<container>")
    .action(withEngine(defaultHost, async (engine: Engine, container: string, _options: object, _command: Command) => {
      const { name, nodeId, decidedAt, scores, rejected } = await engine.json<Why>("GET", `/v1/containers/${path(container)}/placement`);
      process.stdout.write(`${name} is on node ${nodeId}, as decided at ${decidedAt}\n\n${table(["NODE", "SCORE", "BECAUSE"], [
        ...scores.map((s) => [s.nodeId, String(s.score), Object.entries(s.parts).filter(([, value]) => value !== 0).map(([part, value]) => `${part} ${value}`).join(", ")]),
        ...rejected.map((r) => [r.nodeId, "-", r.reason]),
      ])}`);
    }));
}
