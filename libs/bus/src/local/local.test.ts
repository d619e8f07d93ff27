import assert from "node:assert/strict";
import test from "node:test";
import { query } from "@gantry/contracts";
import { silentLogger, systemClock } from "@gantry/kernel";
import { Type as T } from "typebox";
import { busContractSuite } from "../contract-suite/suite.ts";
import { SUITE_LIMITS } from "../contract-suite/support.ts";
import { openBus } from "../open.ts";
import { on } from "../port.ts";
import { LocalBroker } from "./broker.ts";
import { createLocalBus } from "./bus.ts";

const options = { service: "test", clock: systemClock, logger: silentLogger };

busContractSuite("local", async () => {
  const broker = new LocalBroker(silentLogger, systemClock, SUITE_LIMITS);
  return {
    open: async (service) => createLocalBus({ ...options, service, broker }),
    sendRaw: async ({ queue, ...message }) => broker.find(queue)?.push({ message: { ...message, headers: {} }, answer: null, lost: null, deliveries: 0 }),
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
