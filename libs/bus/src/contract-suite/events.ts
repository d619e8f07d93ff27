import assert from "node:assert/strict";
import { test } from "node:test";
import { event } from "@gantry/contracts";
import { waitFor } from "@gantry/testkit";
import { on } from "../port.ts";
import { Text, happened, letters, type Suite } from "./support.ts";

const other = event("suite.word.other.v1", Text);

/** Subscribers and groups. */
export function eventTests(suite: Suite): void {
  test("events reach every subscriber, of the events it asked for, in order", async () => {
    const heard: string[][] = [[], []];
    await using _one = await suite.a.subscribe([on(happened, async ({ text }) => { heard[0]!.push(text); return { text }; })]);
    await using _two = await suite.b.subscribe([
      on(happened, async ({ text }) => { heard[1]!.push(text); return { text }; }),
      on(other, async ({ text }) => { heard[1]!.push(`other ${text}`); return { text }; }),
    ]);
    for (let n = 0; n < 50; n++) await suite.a.publish(happened, { text: String(n) });
    await suite.a.publish(other, { text: "x" });
    const numbers = Array.from({ length: 50 }, (_, n) => String(n));
    await waitFor(() => heard[0]!.length === 50 && heard[1]!.length === 51);
    assert.deepEqual(heard, [numbers, [...numbers, "other x"]]);
  });

  test("an event nobody subscribed to is no error, and gone", async () => {
    await suite.a.publish(other, { text: "unheard" });
    const heard: string[] = [];
    {
      await using _subscriber = await suite.b.subscribe([on(other, async ({ text }) => { heard.push(text); return { text }; })]);
      await suite.a.publish(other, { text: "heard" });
      await waitFor(() => heard.length > 0);
    }
    await suite.a.publish(other, { text: "after" });
    assert.deepEqual(heard, ["heard"]);
  });

  test("a subscriber that fails sees the event again before the next one", async () => {
    const log: string[] = [];
    await using _subscriber = await suite.b.subscribe([on(happened, async ({ text }, { attempt }) => {
      log.push(`${text}/${attempt}`);
      if (text === "bad" || (text === "flaky" && attempt === 1)) throw new Error("no");
      return { text };
    })], { maxAttempts: 2 });
    for (const text of ["good", "flaky", "bad", "last"]) await suite.a.publish(happened, { text });
    await waitFor(() => log.at(-1) === "last/1");
    assert.deepEqual(log, ["good/1", "flaky/1", "flaky/2", "bad/1", "bad/2", "last/1"]);
    const [letter] = await letters(suite, "subscriber", 1);
    assert.equal(letter?.message.body, JSON.stringify({ text: "bad" }));
  });

  test("an event that is repeated with its key is handled once by whoever remembers", async () => {
    const heard: string[] = [];
    await using _subscriber = await suite.b.subscribe([on(happened, async ({ text }, { messageId }) => { heard.push(`${text} ${messageId}`); return { text }; })]);
    for (const text of ["first", "again"]) await suite.a.publish(happened, { text }, { key: "one key" });
    await suite.a.publish(happened, { text: "last" }, { key: "another" });
    await waitFor(() => heard.includes("last another"));
    assert.deepEqual(heard, ["first one key", "last another"]);
  });

  test("a group shares its events, keeps them while nobody listens, and handles them in order", async () => {
    const heard: string[] = [];
    const member = on(happened, async ({ text }) => {
      await new Promise((resolve) => setImmediate(resolve));
      heard.push(text);
      return { text };
    });
    {
      await using _one = await suite.a.subscribe([member], { group: "suite" });
      await using _two = await suite.b.subscribe([member], { group: "suite" });
      for (let n = 0; n < 20; n++) await suite.a.publish(happened, { text: String(n) });
      await waitFor(() => heard.length === 20);
    }
    for (let n = 20; n < 40; n++) await suite.a.publish(happened, { text: String(n) });
    await using _three = await suite.b.subscribe([member], { group: "suite" });
    await waitFor(() => heard.length >= 40);
    assert.deepEqual(heard, Array.from({ length: 40 }, (_, n) => String(n)));
  });

  test("a group's order survives a change of its active member in the middle", async () => {
    const heard: string[] = [];
    const member = on(happened, async ({ text }) => {
      await new Promise((resolve) => setTimeout(resolve, 1));
      heard.push(text);
      return { text };
    });
    const first = await suite.a.subscribe([member], { group: "handover" });
    await using _second = await suite.b.subscribe([member], { group: "handover" });
    for (let n = 0; n < 60; n++) {
      await suite.a.publish(happened, { text: String(n) });
      if (n === 30) void first[Symbol.asyncDispose]();
    }
    await waitFor(() => heard.length >= 60);
    assert.deepEqual(heard, Array.from({ length: 60 }, (_, n) => String(n)));
  });
}
