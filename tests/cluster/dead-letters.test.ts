/** A message that no process can handle, over RabbitMQ: found, shown, mended and given back through the gantry command. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { eventually } from "../support/command.ts";
import { sharedTestbed } from "../testbed/shared.ts";
import type { Testbed } from "../testbed/testbed.ts";

let bed: Testbed;
before(async () => { bed = await sharedTestbed(); });
after(() => bed[Symbol.asyncDispose]());

const schedulers = () => bed.processes().map(({ name }) => name).filter((name) => name.startsWith("scheduler-"));

async function restartSchedulers(env: Record<string, string>): Promise<void> {
  for (const name of schedulers()) await bed.kill(name);
  for (const name of schedulers()) await bed.start(name, env);
  await bed.ready();
}

test("a report that fails three times is a dead letter, outlives the broker, and is carried out once it is given back", async (t) => {
  t.after(async () => {
    await restartSchedulers({});
    await bed.docker(["rm", "-f", "undertaker"]);
    await bed.ready();
  });
  await restartSchedulers({ GANTRY_FAILPOINTS: "bus.handle.node.container.report.v1=error(the ledger is full)" });
  const id = await bed.ok(["run", "-d", "--name", "undertaker", "busybox", "true"]);
  const letters = async () => (await bed.gantry(["dead", "ls", "-q", "--queue", "group.scheduler"])).split("\n").filter((line) => line !== "");
  const [letter] = await eventually("the dead letter", async () => { const found = await letters(); return found.length > 0 ? found : null; });
  const shown = JSON.parse(await bed.gantry(["dead", "show", "--json", letter!])) as Record<string, unknown>;
  assert.deepEqual([shown["message"], shown["queue"], shown["code"], shown["reason"], shown["attempts"]], ["node.container.report.v1", "group.scheduler", "INTERNAL", "the ledger is full", 3]);
  assert.match(String(shown["service"]), /^scheduler/);
  assert.equal((JSON.parse(String(shown["body"])) as { containerId: string }).containerId, id);
  assert.match(await bed.gantry(["dead", "ls"]), new RegExp(`^${letter} +group\\.scheduler +node\\.container\\.report\\.v1 +3 .*INTERNAL: the ledger is full$`, "m"));

  await bed.restart("rabbit");
  await restartSchedulers({});
  await eventually("the dead letter after the restart", async () => (await letters()).includes(letter!));
  assert.match(await bed.gantry(["dead", "retry", "--all", "--queue", "group.scheduler"]), /^[1-9][0-9]* retried, 0 kept$/);
  await eventually("the end of the container to be known", async () => (await bed.ok(["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "undertaker"])) === "exited 0");
  assert.deepEqual(await letters(), []);
});
