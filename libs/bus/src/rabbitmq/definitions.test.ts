import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { EVENT_GROUPS, allContracts, buildRun, imageList, nodeContainerNotice, nodeContainerReport, volumeCreate } from "@gantry/contracts";
import { silentLogger, systemClock } from "@gantry/kernel";
import { startRabbit, waitFor } from "@gantry/testkit";
import { usersOf } from "../../../../infra/rabbitmq/password.ts";
import { openBus } from "../open.ts";
import { on } from "../port.ts";
import { DEFINITIONS_FILE, definitionsText } from "./definitions-file.ts";
import { definitionsOf } from "./definitions.ts";
import { Topology, type Queue } from "./topology.ts";

const text = definitionsText();

describe("RabbitMQ: topology from the contracts", { timeout: 90_000 }, () => {
  test("infra/rabbitmq/definitions.json is what the contracts say", () => {
    assert.equal(readFileSync(DEFINITIONS_FILE, "utf8"), text, "run: node libs/bus/src/rabbitmq/update-definitions.ts");
  });

  test("every command, job and group has a queue, every queue a bound place for its dead letters, and every queue is bounded", () => {
    const topology = new Topology("ns");
    const { queues, bindings } = topology.fixed();
    const byName = new Map(queues.map((queue) => [queue.name, queue]));
    assert.equal(byName.size, queues.length);
    for (const [name, { kind }] of allContracts()) {
      const owner = name.slice(0, name.indexOf("."));
      if (kind === "job") assert.ok(byName.has(`ns.job.${name}`), name);
      if (kind === "command" && owner !== "node") assert.ok(byName.has(`ns.${owner}.commands`), name);
    }
    for (const [group, events] of Object.entries(EVENT_GROUPS)) {
      for (const { name } of events) assert.ok(bindings.some((binding) => binding.queue === `ns.group.${group}` && binding.exchange === "ns.events" && binding.routingKey === name), name);
    }
    const every: readonly Queue[] = [...queues, ...topology.ownerCommands("node.x").queues, ...topology.ownerQueries("node.x", true).queues, ...topology.subscriber("a", ["e"]).queues];
    for (const { name, durable, exclusive, arguments: args } of every) {
      assert.ok(Number(args["x-max-length"]) > 0 && Number(args["x-max-length-bytes"]) > 0, `${name} is bounded`);
      assert.ok(durable && !exclusive, `${name}: no transient queue that others use (gone in RabbitMQ 4)`);
      const key = args["x-dead-letter-routing-key"];
      if (key === undefined) continue;
      assert.equal(args["x-overflow"], "reject-publish", `${name} refuses rather than loses`);
      const [binding] = topology.deadLetters(name.replace(/^ns\./, "").replace(/\.commands$/, "")).bindings;
      assert.equal(binding?.routingKey, key, name);
      assert.ok(byName.has(binding.queue), `${name}: ${binding.queue} is defined`);
    }
  });

  test("a broker loads the file, and finds every process's declarations the same", async () => {
    const password = "correct horse battery staple";
    await using rabbit = await startRabbit({ definitions: [JSON.parse(text) as object, usersOf("gantry", password, "gantry")] });
    const url = new URL(rabbit.url);
    [url.username, url.password, url.pathname] = ["gantry", encodeURIComponent(password), "/gantry"];
    await using bus = await openBus(url.href, { service: "test", clock: systemClock, logger: silentLogger });
    // Sent before anyone serves: the queues are there.
    await bus.send(buildRun, { id: "a".repeat(64) });
    const ran: string[] = [];
    const noticed: string[] = [];
    await using _scheduler = await bus.serve("scheduler", [on(volumeCreate, async (body) => { throw new Error(JSON.stringify(body)); })]);
    await using _store = await bus.serve("image-store", [on(imageList, async () => ({ images: [] }))]);
    await using _build = await bus.serve("build", []);
    await using _node = await bus.serve("node.n1", []);
    await using _worker = await bus.work(on(buildRun, async (body) => { ran.push(body.id); return body; }));
    await using _group = await bus.subscribe([
      on(nodeContainerReport, async (body) => body), on(nodeContainerNotice, async (body) => { noticed.push(body.action); return body; }),
    ], { group: "scheduler" });
    await bus.publish(nodeContainerNotice, { nodeId: "n1", containerId: "b".repeat(64), action: "oom", attributes: {} });
    await waitFor(() => ran.length === 1 && noticed.length === 1);
    assert.deepEqual(await bus.call(imageList, { all: true, filters: {}, digests: false }), { images: [] });
    assert.deepEqual(await bus.deadLetters.list(), []);
  });

  test("another virtual host and namespace give the same under other names", () => {
    const other = JSON.stringify(definitionsOf(new Topology("fleet-2"), "/"));
    assert.equal(other.replaceAll("fleet-2", "gantry").replaceAll("\"vhost\":\"/\"", "\"vhost\":\"gantry\"").replace("[{\"name\":\"/\"}]", "[{\"name\":\"gantry\"}]"), JSON.stringify(JSON.parse(text)));
  });
});
