import assert from "node:assert/strict";
import { test } from "node:test";
import { fail, job } from "@gantry/contracts";
import { waitFor } from "@gantry/testkit";
import { on, type Delivery } from "../port.ts";
import { Text, gauge, letters, toil, type Suite } from "./support.ts";

const toilAlone = job("suite.word.toil-alone.v1", Text);

/** Work queues. */
export function jobTests(suite: Suite): void {
  test("jobs: competing workers share them, each with no more than it may have", async () => {
    const loads = [gauge(), gauge()];
    const done: string[] = [];
    const worker = (load: ReturnType<typeof gauge>) => on(toil, async ({ text }) => { await load.handler(); done.push(text); return { text }; });
    await using _one = await suite.a.work(worker(loads[0]!));
    await using _two = await suite.b.work(worker(loads[1]!), { concurrency: 2 });
    const sent = Array.from({ length: 12 }, (_, n) => String(n));
    await Promise.all(sent.map((text) => suite.a.send(toil, { text })));
    await waitFor(() => done.length === sent.length);
    assert.deepEqual(done.toSorted(), sent.toSorted());
    assert.deepEqual(loads.map((load) => load.most), [1, 2]);
  });

  test("jobs: one whose handler fails is delivered again, then dead-lettered with the reason", async () => {
    const deliveries: Delivery[] = [];
    await using _worker = await suite.b.work(on(toilAlone, async (_, delivery) => {
      deliveries.push(delivery);
      throw deliveries.length === 1 ? new Error("first") : fail("BUILD_FAILED", "cannot be built");
    }));
    await suite.a.send(toilAlone, { text: "hopeless" }, { key: "hopeless" });
    const [letter] = await letters(suite, `job.${toilAlone.name}`, 1);
    assert.deepEqual(deliveries.map(({ attempt, redelivered, messageId }) => ({ attempt, redelivered, messageId })), [
      { attempt: 1, redelivered: false, messageId: "hopeless" },
      { attempt: 2, redelivered: true, messageId: "hopeless" },
      { attempt: 3, redelivered: true, messageId: "hopeless" },
    ]);
    assert.equal(letter?.code, "BUILD_FAILED");
    assert.equal(letter?.reason, "cannot be built");
    assert.equal(letter?.attempts, 3);
    assert.equal(letter?.message.id, "hopeless");
    assert.deepEqual(JSON.parse(letter?.message.body ?? ""), { text: "hopeless" });
  });

  test("jobs: one that succeeds at the second delivery is not dead-lettered, and delays no other", async () => {
    const flaky = job("suite.word.flaky.v1", Text);
    const done: string[] = [];
    let failures = 0;
    await using _worker = await suite.b.work(on(flaky, async ({ text }) => {
      if (text === "flaky" && failures++ === 0) throw new Error("once");
      done.push(text);
      return { text };
    }));
    await suite.a.send(flaky, { text: "flaky" });
    await suite.a.send(flaky, { text: "steady" });
    await waitFor(() => done.length === 2);
    assert.deepEqual(done.toSorted(), ["flaky", "steady"]);
    assert.deepEqual(await suite.a.deadLetters.list(`job.${flaky.name}`), []);
  });
}
