import assert from "node:assert/strict";
import { test } from "node:test";
import { command, fail, job, query } from "@gantry/contracts";
import { waitFor } from "@gantry/testkit";
import { Type as T } from "typebox";
import { on } from "../port.ts";
import { Text, ask, coded, echo, gauge, say, tell, type Suite } from "./support.ts";

const unserved = query("nobody.word.ask.v1", Text, T.Object({}));

/** Commands and queries, and their replies. */
export function callTests(suite: Suite): void {
  test("a command and a query are answered by whoever serves the owner", async () => {
    await using _server = await suite.b.serve("suite", [on(say, echo), on(ask, async ({ text }) => ({ heard: `${text}?` }))]);
    assert.deepEqual(await suite.a.call(say, { text: "häßlich ☃" }), { heard: "häßlich ☃" });
    assert.deepEqual(await suite.a.call(ask, { text: "who" }), { heard: "who?" });
    const replies = await Promise.all(Array.from({ length: 100 }, (_, n) => suite.a.call(ask, { text: String(n) })));
    assert.deepEqual(replies.map((reply) => reply.heard), Array.from({ length: 100 }, (_, n) => `${n}?`));
  });

  test("bodies are copies: nothing is shared between sender and handler", async () => {
    let seen: { text: string; n?: number } | undefined;
    const sent = { text: "x", n: undefined, extra: { deep: 1 } };
    await using _server = await suite.b.serve("suite", [on(say, async (body) => { seen = body; return { heard: "" }; })]);
    await suite.a.call(say, sent);
    assert.deepEqual(seen, { text: "x", extra: { deep: 1 } });
    assert.notEqual(seen, sent);
  });

  test("a message of a node goes to that node", async () => {
    await using _one = await suite.a.serve("node.one", [on(tell, async () => ({ heard: "one" }))]);
    await using _two = await suite.b.serve("node.two", [on(tell, async () => ({ heard: "two" }))]);
    assert.deepEqual(await suite.a.call(tell, { text: "" }, { node: "two" }), { heard: "two" });
    assert.deepEqual(await suite.a.call(tell, { text: "" }, { node: "one" }), { heard: "one" });
    await assert.rejects(suite.a.call(tell, { text: "" }, { node: "three" }), coded("UNAVAILABLE"));
    await assert.rejects(suite.a.call(tell, { text: "" }), coded("INVALID"));
  });

  test("nobody serves: calls fail at once, and sends where no queue is", async () => {
    const started = performance.now();
    await assert.rejects(suite.a.call(unserved, { text: "" }), coded("UNAVAILABLE"));
    {
      await using _server = await suite.b.serve("leaving", []);
    }
    const leaving = command("leaving.word.say.v1", Text, T.Object({}));
    const leavingQuery = query("leaving.word.ask.v1", Text, T.Object({}));
    await assert.rejects(suite.a.call(leaving, { text: "" }), coded("UNAVAILABLE"));
    await assert.rejects(suite.a.call(leavingQuery, { text: "" }), coded("UNAVAILABLE"));
    await assert.rejects(suite.a.send(job("suite.never.declared.v1", Text), { text: "" }), coded("UNAVAILABLE"));
    assert.ok(performance.now() - started < 10_000);
  });

  test("a call that takes too long is TIMEOUT, one that is aborted gives its reason", async () => {
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    await using _server = await suite.b.serve("suite", [on(ask, async () => { await gate; return { heard: "" }; }), on(say, async () => { await gate; return { heard: "" }; })]);
    await assert.rejects(suite.a.call(ask, { text: "" }, { timeoutMs: 60 }), coded("TIMEOUT"));
    await assert.rejects(suite.a.call(say, { text: "" }, { timeoutMs: 200 }), coded("TIMEOUT"));
    const stop = new AbortController();
    const call = suite.a.call(ask, { text: "" }, { signal: stop.signal, timeoutMs: 0 });
    stop.abort(new Error("changed my mind"));
    await assert.rejects(call, /changed my mind/);
    await assert.rejects(suite.a.call(ask, { text: "" }, { signal: stop.signal }), /changed my mind/);
    open();
  });

  test("a key is the message's ID; a repeated command is answered and not carried out again", async () => {
    const seen: string[] = [];
    await using _server = await suite.b.serve("suite", [on(say, async ({ text }, delivery) => { seen.push(delivery.messageId); return { heard: text }; })]);
    assert.deepEqual(await suite.a.call(say, { text: "first" }, { key: "the-key" }), { heard: "first" });
    assert.deepEqual(await suite.a.call(say, { text: "second" }, { key: "the-key" }), { heard: "first" });
    await suite.a.call(say, { text: "" });
    await suite.a.call(say, { text: "" });
    assert.equal(seen[0], "the-key");
    assert.equal(new Set(seen).size, 3);
  });

  test("a key whose command failed may be tried again", async () => {
    let calls = 0;
    await using _server = await suite.b.serve("suite", [on(say, async () => {
      if (++calls === 1) throw fail("CONFLICT", "not now");
      return { heard: String(calls) };
    })]);
    await assert.rejects(suite.a.call(say, { text: "" }, { key: "again" }), coded("CONFLICT"));
    assert.deepEqual(await suite.a.call(say, { text: "" }, { key: "again" }), { heard: "2" });
  });

  test("commands and queries are handled as many at a time as told", async () => {
    const load = gauge();
    await using _server = await suite.b.serve("suite", [on(say, load.handler), on(ask, load.handler)], { concurrency: 3 });
    await Promise.all(Array.from({ length: 12 }, (_, n) => (n % 2 === 0 ? suite.a.call(say, { text: "" }) : suite.a.call(ask, { text: "" }))));
    assert.equal(load.most, 3);
  });

  test("a command that was sent waits for its server", async () => {
    const later = command("later.word.say.v1", Text, T.Object({}));
    {
      await using _server = await suite.b.serve("later", []);
    }
    await suite.a.send(later, { text: "kept" });
    const heard: string[] = [];
    await using _server = await suite.b.serve("later", [on(later, async ({ text }) => { heard.push(text); return {}; })]);
    await waitFor(() => heard.length === 1);
    assert.deepEqual(heard, ["kept"]);
  });
}
