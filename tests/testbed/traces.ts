import { existsSync } from "node:fs";
import { hostState } from "@gantry/testkit";
import { run } from "../support/command.ts";
import { tableOf, type Layout } from "./layout.ts";

/** What of a testbed that was taken down is still on this machine; empty when it left nothing. */
export async function tracesOf(layout: Layout): Promise<string[]> {
  const named = new RegExp(`${layout.dir.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}(/|\\s|$)|gantry-testbed-${layout.tag}|gtb-${layout.tag}|gt${layout.tag}-`);
  const state = hostState(named);
  const found = (["mounts", "interfaces", "cgroups", "processes"] as const).flatMap((kind) => state[kind].map((name) => `${kind}: ${name}`));
  const { stdout } = await run("nft", ["list", "tables"]);
  if (stdout.includes(tableOf(layout))) found.push(`table ${tableOf(layout)}`);
  if (existsSync(layout.dir)) found.push(`directory ${layout.dir}`);
  return found.filter((name) => !name.startsWith(`processes: ${process.pid} `));
}
