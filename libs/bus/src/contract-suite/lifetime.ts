import assert from "node:assert/strict";
import { test } from "node:test";
import { command, query } from "@gantry/contracts";
import { waitFor } from "@gantry/testkit";
import { GiveBack, on } from "../port.ts";
import { Heard, Text, ask, coded, happened, say, type Suite } from "./support.ts";

/** Who is active, and how consumers and buses end. */
export function lifetimeTests(suite: Suite): void {
  test("exclusive: one server is active, the next takes over when it leaves", async () => {
    const lone = command("lone.word.say.v1", Text, Heard);
    const loneAsk = query("lone.word.ask.v1", Text, Heard);
    const routes = (heard: string) => [on(lone, async () => ({ heard })), on(loneAsk, async () => ({ heard }))];
    const first = await suite.a.serve("lone", routes("first"), { exclusive: true });
    await using _second = await suite.b.serve("lone", routes("second"), { exclusive: true });
    const who = async () => new Set([
      ...(await Promise.all(Array.from({ length: 10 }, () => suite.b.call(lone, { text: "" })))),
      ...(await Promise.all(Array.from({ length: 10 }, () => suite.b.call(loneAsk, { text: "" })))),
    ].map((reply) => reply.heard));
    assert.deepEqual([...await who()], ["first"]);
    await first[Symbol.asyncDispose]();
    assert.deepEqual([...await who()], ["second"]);
    await assert.rejects(suite.a.serve("lone", []), coded("CONFLICT"));
  });

  test("queries have servers of their own beside the one of the commands; between two of those, commands wait", async () => {
    const split = command("split.word.say.v1", Text, Heard);
    const splitAsk = query("split.word.ask.v1", Text, Heard);
    const answer = (heard: string) => async () => ({ heard });
    await using _one = await suite.a.serve("split", [on(splitAsk, answer("one"))], { only: "queries" });
    await using _two = await suite.b.serve("split", [on(splitAsk, answer("two"))], { only: "queries" });
    const first = await suite.a.serve("split", [on(split, answer("first"))], { exclusive: true, only: "commands" });
    const asked = await Promise.all(Array.from({ length: 20 }, () => suite.b.call(splitAsk, { text: "" })));
    assert.deepEqual(new Set(asked.map((reply) => reply.heard)), new Set(["one", "two"]));
    assert.deepEqual(await suite.b.call(split, { text: "" }), { heard: "first" });
    await first[Symbol.asyncDispose]();
    const waiting = suite.b.call(split, { text: "" });
    assert.ok(["one", "two"].includes((await suite.b.call(splitAsk, { text: "" })).heard));
    await using _second = await suite.b.serve("split", [on(split, answer("second"))], { exclusive: true, only: "commands" });
    assert.deepEqual(await waiting, { heard: "second" });
  });

  test("what a handler gives back is handled by the next consumer, and its caller waits on", async () => {
    const given = command("given.word.say.v1", Text, Heard);
    let refused = 0;
    const leaving = await suite.a.serve("given", [on(given, async (_, { signal }) => {
      refused++;
      if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve));
      throw new GiveBack();
    })], { exclusive: true });
    const keys = Array.from({ length: 5 }, (_, n) => `give-back-${n}`);
    const calls = keys.map((key) => suite.b.call(given, { text: "" }, { key }));
    await waitFor(() => refused === 5);
    const seen: string[] = [];
    await using _next = await suite.b.serve("given", [on(given, async (_, { messageId }) => { seen.push(messageId); return { heard: "next" }; })], { exclusive: true });
    await leaving[Symbol.asyncDispose]();
    assert.deepEqual(await Promise.all(calls), keys.map(() => ({ heard: "next" })));
    assert.deepEqual(seen.toSorted(), keys);
  });

  test("closing a consumer waits for its handler, whose signal tells", async () => {
    let aborted = false;
    let ended = false;
    let started = false;
    const server = await suite.b.serve("suite", [on(say, async ({ text }, { signal }) => {
      started = true;
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => { aborted = true; setTimeout(resolve, 20); }));
      ended = true;
      return { heard: text };
    })]);
    const call = suite.a.call(say, { text: "x" });
    call.catch(() => {});
    await waitFor(() => started);
    await server[Symbol.asyncDispose]();
    assert.deepEqual([aborted, ended], [true, true]);
    assert.deepEqual(await call, { heard: "x" });
  });

  test("a closed bus refuses, and fails what still waits", async () => {
    await using _server = await suite.b.serve("suite", [on(ask, (_, { signal }) => new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(new Error("closing")))))]);
    const c = await suite.harness.open("c");
    const call = c.call(ask, { text: "" });
    call.catch(() => {});
    await c[Symbol.asyncDispose]();
    await assert.rejects(call, coded("UNAVAILABLE"));
    await assert.rejects(c.publish(happened, { text: "" }), coded("UNAVAILABLE"));
    await assert.rejects(c.serve("suite", []), coded("UNAVAILABLE"));
  });
}
