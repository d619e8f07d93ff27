import assert from "node:assert/strict";
import { test } from "node:test";
import type { Bus } from "@gantry/bus";
import { fail } from "@gantry/contracts";
import { newId, silentLogger } from "@gantry/kernel";
import { FakeClock } from "@gantry/testkit";
import { Reporter } from "./reports.ts";

const containerId = newId();
const told = (n: number) => ({ kind: "notice" as const, body: { nodeId: "n1", containerId, action: String(n), attributes: {} } });
const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => String(from + i));

test("what the bus does not take waits, in order, however many were on their way; nothing is lost, and the oldest beyond a bound are told of as dropped", async () => {
  const clock = new FakeClock();
  const reporter = new Reporter(clock, silentLogger);
  const sent: string[] = [];
  let away = true;
  const bus = {
    publish: async (_contract: unknown, body: { action: string }) => {
      if (away) throw fail("UNAVAILABLE", "no broker");
      sent.push(body.action);
    },
  } as unknown as Pick<Bus, "publish">;
  for (let n = 0; n < 10; n++) reporter.tell(told(n));
  reporter.connect(bus);
  for (let n = 10; n < 100; n++) reporter.tell(told(n));
  for (let i = 0; i < 3; i++) await clock.advance(500);
  assert.deepEqual(sent, []);
  away = false;
  await clock.advance(500);
  assert.deepEqual(sent, numbers(0, 100));
  assert.equal(reporter.takeDropped(), false);

  away = true;
  sent.length = 0;
  for (let n = 0; n < 3_000; n++) reporter.tell(told(n));
  await clock.advance(500);
  away = false;
  await clock.advance(500);
  assert.deepEqual([sent.at(-1), sent.length < 2_100, reporter.takeDropped(), reporter.takeDropped()], ["2999", true, true, false]);
  assert.deepEqual(sent, sent.toSorted((a, b) => Number(a) - Number(b)));
});
