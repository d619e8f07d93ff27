import assert from "node:assert/strict";
import { test } from "node:test";
import { command, event, job } from "@gantry/contracts";
import { isGantryError } from "@gantry/kernel";
import { waitFor } from "@gantry/testkit";
import { Type as T } from "typebox";
import { on } from "../port.ts";
import { SUITE_LIMITS, Text, coded, happened, type Suite } from "./support.ts";

/** A broker may take a few more than its limit, by as much as was under way when it noticed. */
const SLACK = 600;

const full = (what: string) => (error: unknown) => isGantryError(error, "QUEUE_FULL") && error.message === `the queue of ${what} is full (300 messages, or 1 MiB): try again later`;

/** Full queues. */
export function backPressureTests(suite: Suite): void {
  test("a full queue refuses and says so, keeps what it took, and takes again once there is room", async () => {
    const fill = command("filled.word.say.v1", Text, T.Object({}));
    {
      await using _server = await suite.b.serve("filled", []);
    }
    const { messages } = SUITE_LIMITS.commands;
    const taken = new Set<string>();
    const refusals: unknown[] = [];
    for (let n = 0; refusals.length === 0 && n < messages + SLACK; n += 50) {
      await Promise.all(Array.from({ length: 50 }, async (_, i) => {
        await suite.a.send(fill, { text: String(n + i) }).then(() => taken.add(String(n + i)), (error: unknown) => refusals.push(error));
      }));
    }
    assert.ok(refusals.length > 0, `${taken.size} taken`);
    for (const error of refusals) assert.ok(full("filled commands")(error), String(error));
    assert.ok(taken.size >= messages && taken.size <= messages + SLACK, `${taken.size} taken`);
    await assert.rejects(suite.b.send(fill, { text: "" }), full("filled commands"));

    const handled: string[] = [];
    await using _server = await suite.b.serve("filled", [on(fill, async ({ text }) => { handled.push(text); return {}; })]);
    await waitFor(() => handled.length >= taken.size, { what: "everything that was taken to be handled" });
    assert.deepEqual(handled.toSorted(), [...taken].toSorted());
    await waitFor(() => suite.a.send(fill, { text: "room" }).then(() => true, () => false));
    await waitFor(() => handled.includes("room"));
  });

  test("a queue is also full by bytes", async () => {
    const heavy = job("suite.word.heavy.v1", Text);
    {
      await using _worker = await suite.b.work(on(heavy, async (body) => body));
    }
    const text = "x".repeat(100_000);
    await assert.rejects(async () => { for (let n = 0; n < 60; n++) await suite.a.send(heavy, { text }); }, full("suite.word.heavy.v1 jobs"));
    let handled = 0;
    await using _worker = await suite.b.work(on(heavy, async (body) => { handled++; return body; }));
    await waitFor(() => handled >= 10);
  });

  test("a full group refuses the event, and every other subscriber has it", async () => {
    const told = event("suite.word.told.v1", Text);
    const heard = new Set<string>();
    {
      await using _group = await suite.b.subscribe([on(told, async (body) => body)], { group: "full" });
    }
    await using _subscriber = await suite.b.subscribe([on(told, async (body) => { heard.add(body.text); return body; })]);
    let refused = "";
    for (let n = 0; refused === "" && n < SUITE_LIMITS.group.messages + SLACK; n++) {
      await suite.a.publish(told, { text: String(n) }).catch((error: unknown) => {
        assert.ok(coded("QUEUE_FULL")(error), String(error));
        refused = String(n);
      });
    }
    assert.notEqual(refused, "");
    await waitFor(() => heard.has(refused));
  });

  test("a subscriber that is too slow holds up nobody, and loses the oldest events", async () => {
    const flood = event("suite.word.flood.v1", T.Object({ n: T.Integer() }));
    const { messages } = SUITE_LIMITS.subscriber;
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    const slow: number[] = [];
    let quick = 0;
    await using _slow = await suite.a.subscribe([on(flood, async (body) => { await gate; slow.push(body.n); return body; })]);
    await using _quick = await suite.b.subscribe([on(flood, async (body) => { quick++; return body; })]);
    const total = 2 * messages;
    for (let n = 0; n < total; n += 50) {
      await Promise.all(Array.from({ length: 50 }, (_, i) => suite.a.publish(flood, { n: n + i })));
      await waitFor(() => quick === n + 50);
    }
    open();
    await waitFor(() => slow.at(-1) === total - 1);
    assert.ok(slow.length >= messages && slow.length < total, `${slow.length} of ${total}`);
    assert.ok(slow.every((n, i) => i === 0 || n > slow[i - 1]!), "in order");
  });

  test("dead letters are bounded: the newest are kept", async () => {
    const dying = job("suite.word.dying.v1", Text);
    await using _worker = await suite.b.work(on(dying, async () => { throw new Error("no"); }), { maxAttempts: 1 });
    const count = SUITE_LIMITS.dead.messages + 20;
    for (let n = 0; n < count; n++) await suite.a.send(dying, { text: String(n) });
    const last = JSON.stringify({ text: String(count - 1) });
    const queue = `job.${dying.name}`;
    await waitFor(async () => (await suite.a.deadLetters.list(queue)).some(({ message }) => message.body === last));
    const found = await suite.a.deadLetters.list(queue);
    assert.equal(found.at(-1)!.message.body, last);
    // A broker may find only with the next letter that there is one too many.
    assert.ok(found.length - SUITE_LIMITS.dead.messages <= 1 && found.length >= SUITE_LIMITS.dead.messages, `${found.length} kept`);
  });

  test("a subscriber sees at most so many events at a time as it asks for", async () => {
    let running = 0;
    let most = 0;
    let seen = 0;
    await using _subscriber = await suite.b.subscribe([on(happened, async (body) => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, 2));
      running--;
      seen++;
      return body;
    })], { concurrency: 3 });
    await Promise.all(Array.from({ length: 30 }, () => suite.a.publish(happened, { text: "" })));
    await waitFor(() => seen === 30);
    assert.equal(most, 3);
  });
}
