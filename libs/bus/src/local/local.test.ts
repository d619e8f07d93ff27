import assert from "node:assert/strict";
import test from "node:test";
import { event, query } from "@gantry/contracts";
import { silentLogger, systemClock } from "@gantry/kernel";
import { Type as T } from "typebox";
import { busContractSuite } from "../contract-suite.ts";
import { openBus } from "../open.ts";
import { on } from "../port.ts";
import { LocalBroker } from "./broker.ts";
import { createLocalBus } from "./bus.ts";

const options = { service: "test", clock: systemClock, logger: silentLogger };

busContractSuite("local", async () => {
  const broker = new LocalBroker();
  return {
    open: async (service) => createLocalBus({ ...options, service, broker }),
    deadLetters: async (queue) => broker.deadLetters(queue),
    async [Symbol.asyncDispose]() {},
  };
});

test("local: gives a broker of its own, local:name a shared one", async () => {
  const ping = query("localtest.word.ping.v1", T.Object({}), T.Object({}));
  await using alone = await openBus("local:", options);
  await using one = await openBus("local:shared-by-this-test", options);
  await using two = await openBus("local:shared-by-this-test", options);
  await using _server = await one.serve("localtest", [on(ping, async () => ({}))]);
  await two.call(ping, {});
  await assert.rejects(alone.call(ping, {}), /nobody serves/);
  await assert.rejects(openBus("http://x", options), /local: nor amqp/);
});

test("a full queue refuses, a slow subscriber loses the newest", { timeout: 60_000 }, async () => {
  const flood = event("localtest.flood.happened.v1", T.Object({}));
  await using bus = await openBus("local:", options);
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  await using _group = await bus.subscribe([on(flood, async () => { await gate; return {}; })], { group: "slow" });
  await using _slow = await bus.subscribe([on(flood, async () => { await gate; return {}; })]);
  await assert.rejects(async () => { for (let n = 0; n < 100_010; n += 1_000) await Promise.all(Array.from({ length: 1_000 }, () => bus.publish(flood, {}))); }, /queue group.slow is full/);
  open();
});
