import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { command, event, fail, job, query } from "@gantry/contracts";
import { isGantryError } from "@gantry/kernel";
import { context, propagation, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { waitFor } from "@gantry/testkit";
import { Type as T } from "typebox";
import type { DeadLetter } from "./message.ts";
import { GiveBack, on, type Bus, type Delivery } from "./port.ts";

/** A broker, new for the suite. */
export interface BusHarness extends AsyncDisposable {
  /** A bus of a process of its own, on the broker. The suite disposes it. */
  open(service: string): Promise<Bus>;
  /** The dead letters of a queue, named as handlers know it. */
  deadLetters(queue: string): Promise<readonly DeadLetter[]>;
}

const Text = T.Object({ text: T.String({ maxLength: 100_000 }), n: T.Optional(T.Integer()) });
export const say = command("suite.word.say.v1", Text, T.Object({ heard: T.String() }));
export const ask = query("suite.word.ask.v1", Text, T.Object({ heard: T.String() }));
const tell = command("node.word.tell.v1", Text, T.Object({ heard: T.String() }));
export const toil = job("suite.word.toil.v1", Text);
const toilAlone = job("suite.word.toil-alone.v1", Text);
export const happened = event("suite.word.happened.v1", Text);
const other = event("suite.word.other.v1", Text);
const unserved = query("nobody.word.ask.v1", Text, T.Object({}));

/** What every implementation of {@link Bus} does. `open` is called once. */
export function busContractSuite(name: string, open: () => Promise<BusHarness>): void {
  describe(`bus: ${name}`, { timeout: 120_000 }, () => {
    let harness: BusHarness;
    let a: Bus;
    let b: Bus;
    const spans = new InMemorySpanExporter();

    before(async () => {
      context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
      propagation.setGlobalPropagator(new W3CTraceContextPropagator());
      trace.setGlobalTracerProvider(new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter: spans })] }));
      harness = await open();
      [a, b] = await Promise.all([harness.open("a"), harness.open("b")]);
    });
    after(async () => {
      for (const part of [trace, context, propagation]) part.disable();
      await a[Symbol.asyncDispose]();
      await b[Symbol.asyncDispose]();
      await harness[Symbol.asyncDispose]();
    });

    const echo = async ({ text }: { text: string }) => ({ heard: text });
    const coded = (code: string) => (error: unknown) => isGantryError(error, code);

    test("a command and a query are answered by whoever serves the owner", async () => {
      await using _server = await b.serve("suite", [on(say, echo), on(ask, async ({ text }) => ({ heard: `${text}?` }))]);
      assert.deepEqual(await a.call(say, { text: "häßlich ☃" }), { heard: "häßlich ☃" });
      assert.deepEqual(await a.call(ask, { text: "who" }), { heard: "who?" });
      const replies = await Promise.all(Array.from({ length: 100 }, (_, n) => a.call(ask, { text: String(n) })));
      assert.deepEqual(replies.map((reply) => reply.heard), Array.from({ length: 100 }, (_, n) => `${n}?`));
    });

    test("bodies are copies: nothing is shared between sender and handler", async () => {
      let seen: { text: string; n?: number } | undefined;
      const sent = { text: "x", n: undefined, extra: { deep: 1 } };
      await using _server = await b.serve("suite", [on(say, async (body) => { seen = body; return { heard: "" }; })]);
      await a.call(say, sent);
      assert.deepEqual(seen, { text: "x", extra: { deep: 1 } });
      assert.notEqual(seen, sent);
    });

    test("a message of a node goes to that node", async () => {
      await using _one = await a.serve("node.one", [on(tell, async () => ({ heard: "one" }))]);
      await using _two = await b.serve("node.two", [on(tell, async () => ({ heard: "two" }))]);
      assert.deepEqual(await a.call(tell, { text: "" }, { node: "two" }), { heard: "two" });
      assert.deepEqual(await a.call(tell, { text: "" }, { node: "one" }), { heard: "one" });
      await assert.rejects(a.call(tell, { text: "" }, { node: "three" }), coded("UNAVAILABLE"));
      await assert.rejects(a.call(tell, { text: "" }), coded("INVALID"));
    });

    test("a coded error reaches the caller with code, message and details, and is not retried", async () => {
      let calls = 0;
      await using _server = await b.serve("suite", [on(say, async () => {
        calls++;
        throw fail("NO_SUCH_CONTAINER", "No such container: x", { details: { id: "x" }, cause: new Error("secret") });
      })]);
      await assert.rejects(a.call(say, { text: "" }), (error) => isGantryError(error, "NO_SUCH_CONTAINER")
        && error.message === "No such container: x" && error.details["id"] === "x" && error.cause === undefined);
      assert.equal(calls, 1);
    });

    test("any other error is INTERNAL", async () => {
      await using _server = await b.serve("suite", [on(say, async () => { throw new TypeError("undefined is not a function"); })]);
      await assert.rejects(a.call(say, { text: "" }), coded("INTERNAL"));
    });

    test("bodies and replies that do not fit are refused", async () => {
      await using _server = await b.serve("suite", [on(say, async () => ({ heard: 1 }) as never)]);
      await assert.rejects(a.call(say, { text: 1 } as never), (error) => isGantryError(error, "INVALID") && /text/.test(error.message));
      await assert.rejects(a.call(say, { text: "fits" }), coded("INTERNAL"));
      await assert.rejects(a.publish(happened, {} as never), coded("INVALID"));
      await assert.rejects(a.call(say, { text: "x" }, { key: "" }), coded("INVALID"));
    });

    test("a message larger than any broker takes is refused by its sender", async () => {
      const huge = event("suite.word.huge.v1", T.Object({ text: T.String() }));
      await assert.rejects(a.publish(huge, { text: "x".repeat(16 * 1024 * 1024) }), coded("TOO_LARGE"));
      await assert.rejects(a.publish(huge, { text: "☃".repeat(6 * 1024 * 1024) }), coded("TOO_LARGE"));
    });

    test("a message without a handler is refused", async () => {
      await using _server = await b.serve("suite", [on(say, echo)]);
      await assert.rejects(a.call(ask, { text: "" }), coded("NOT_IMPLEMENTED"));
    });

    test("nobody serves: calls fail at once, and sends where no queue is", async () => {
      const started = performance.now();
      await assert.rejects(a.call(unserved, { text: "" }), coded("UNAVAILABLE"));
      {
        await using _server = await b.serve("leaving", []);
      }
      const leaving = command("leaving.word.say.v1", Text, T.Object({}));
      const leavingQuery = query("leaving.word.ask.v1", Text, T.Object({}));
      await assert.rejects(a.call(leaving, { text: "" }), coded("UNAVAILABLE"));
      await assert.rejects(a.call(leavingQuery, { text: "" }), coded("UNAVAILABLE"));
      await assert.rejects(a.send(job("suite.never.declared.v1", Text), { text: "" }), coded("UNAVAILABLE"));
      assert.ok(performance.now() - started < 10_000);
    });

    test("a command that was sent waits for its server", async () => {
      const later = command("later.word.say.v1", Text, T.Object({}));
      {
        await using _server = await b.serve("later", []);
      }
      await a.send(later, { text: "kept" });
      const heard: string[] = [];
      await using _server = await b.serve("later", [on(later, async ({ text }) => { heard.push(text); return {}; })]);
      await waitFor(() => heard.length === 1);
      assert.deepEqual(heard, ["kept"]);
    });

    test("a call that takes too long is TIMEOUT, one that is aborted gives its reason", async () => {
      const { promise: gate, resolve: open } = Promise.withResolvers<void>();
      await using _server = await b.serve("suite", [on(ask, async () => { await gate; return { heard: "" }; }), on(say, async () => { await gate; return { heard: "" }; })]);
      await assert.rejects(a.call(ask, { text: "" }, { timeoutMs: 60 }), coded("TIMEOUT"));
      await assert.rejects(a.call(say, { text: "" }, { timeoutMs: 200 }), coded("TIMEOUT"));
      const stop = new AbortController();
      const call = a.call(ask, { text: "" }, { signal: stop.signal, timeoutMs: 0 });
      stop.abort(new Error("changed my mind"));
      await assert.rejects(call, /changed my mind/);
      await assert.rejects(a.call(ask, { text: "" }, { signal: stop.signal }), /changed my mind/);
      open();
    });

    test("a key is the message's ID; a repeated command is answered and not carried out again", async () => {
      const seen: string[] = [];
      await using _server = await b.serve("suite", [on(say, async ({ text }, delivery) => { seen.push(delivery.messageId); return { heard: text }; })]);
      assert.deepEqual(await a.call(say, { text: "first" }, { key: "the-key" }), { heard: "first" });
      assert.deepEqual(await a.call(say, { text: "second" }, { key: "the-key" }), { heard: "first" });
      await a.call(say, { text: "" });
      await a.call(say, { text: "" });
      assert.equal(seen[0], "the-key");
      assert.equal(new Set(seen).size, 3);
    });

    test("a key whose command failed may be tried again", async () => {
      let calls = 0;
      await using _server = await b.serve("suite", [on(say, async () => {
        if (++calls === 1) throw fail("CONFLICT", "not now");
        return { heard: String(calls) };
      })]);
      await assert.rejects(a.call(say, { text: "" }, { key: "again" }), coded("CONFLICT"));
      assert.deepEqual(await a.call(say, { text: "" }, { key: "again" }), { heard: "2" });
    });

    test("commands and queries are handled as many at a time as told", async () => {
      const load = gauge();
      await using _server = await b.serve("suite", [on(say, load.handler), on(ask, load.handler)], { concurrency: 3 });
      await Promise.all(Array.from({ length: 12 }, (_, n) => (n % 2 === 0 ? a.call(say, { text: "" }) : a.call(ask, { text: "" }))));
      assert.equal(load.most, 3);
    });

    test("jobs: competing workers share them, each with no more than it may have", async () => {
      const loads = [gauge(), gauge()];
      const done: string[] = [];
      const worker = (load: ReturnType<typeof gauge>) => on(toil, async ({ text }) => { await load.handler(); done.push(text); return { text }; });
      await using _one = await a.work(worker(loads[0]!));
      await using _two = await b.work(worker(loads[1]!), { concurrency: 2 });
      const sent = Array.from({ length: 12 }, (_, n) => String(n));
      await Promise.all(sent.map((text) => a.send(toil, { text })));
      await waitFor(() => done.length === sent.length);
      assert.deepEqual(done.toSorted(), sent.toSorted());
      assert.deepEqual(loads.map((load) => load.most), [1, 2]);
    });

    test("jobs: one whose handler fails is delivered again, then dead-lettered with the reason", async () => {
      const deliveries: Delivery[] = [];
      await using _worker = await b.work(on(toilAlone, async (_, delivery) => {
        deliveries.push(delivery);
        throw deliveries.length === 1 ? new Error("first") : fail("BUILD_FAILED", "cannot be built");
      }));
      await a.send(toilAlone, { text: "hopeless" }, { key: "hopeless" });
      const [letter] = await waitFor(async () => {
        const letters = await harness.deadLetters(`job.${toilAlone.name}`);
        return letters.length > 0 ? letters : null;
      });
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
      await using _worker = await b.work(on(flaky, async ({ text }) => {
        if (text === "flaky" && failures++ === 0) throw new Error("once");
        done.push(text);
        return { text };
      }));
      await a.send(flaky, { text: "flaky" });
      await a.send(flaky, { text: "steady" });
      await waitFor(() => done.length === 2);
      assert.deepEqual(done.toSorted(), ["flaky", "steady"]);
      assert.deepEqual(await harness.deadLetters(`job.${flaky.name}`), []);
    });

    test("commands that were sent: retried, and dead-lettered after maxAttempts; unknown ones at once", async () => {
      const hopeless = command("dying.word.say.v1", Text, T.Object({}));
      const unknown = command("dying.word.unknown.v1", Text, T.Object({}));
      let calls = 0;
      await using _server = await b.serve("dying", [on(hopeless, async () => { calls++; throw fail("CONFLICT", "never"); })], { maxAttempts: 2 });
      await a.send(hopeless, { text: "" });
      await a.send(unknown, { text: "" });
      await waitFor(async () => (await harness.deadLetters("dying")).length === 2);
      assert.equal(calls, 2);
      assert.deepEqual((await harness.deadLetters("dying")).map((letter) => letter.code).toSorted(), ["CONFLICT", "NOT_IMPLEMENTED"]);
    });

    test("events reach every subscriber, of the events it asked for, in order", async () => {
      const heard: string[][] = [[], []];
      await using _one = await a.subscribe([on(happened, async ({ text }) => { heard[0]!.push(text); return { text }; })]);
      await using _two = await b.subscribe([
        on(happened, async ({ text }) => { heard[1]!.push(text); return { text }; }),
        on(other, async ({ text }) => { heard[1]!.push(`other ${text}`); return { text }; }),
      ]);
      for (let n = 0; n < 50; n++) await a.publish(happened, { text: String(n) });
      await a.publish(other, { text: "x" });
      const numbers = Array.from({ length: 50 }, (_, n) => String(n));
      await waitFor(() => heard[0]!.length === 50 && heard[1]!.length === 51);
      assert.deepEqual(heard, [numbers, [...numbers, "other x"]]);
    });

    test("an event nobody subscribed to is no error, and gone", async () => {
      await a.publish(other, { text: "unheard" });
      const heard: string[] = [];
      {
        await using _subscriber = await b.subscribe([on(other, async ({ text }) => { heard.push(text); return { text }; })]);
        await a.publish(other, { text: "heard" });
        await waitFor(() => heard.length > 0);
      }
      await a.publish(other, { text: "after" });
      assert.deepEqual(heard, ["heard"]);
    });

    test("a subscriber that fails sees the event again before the next one", async () => {
      const log: string[] = [];
      await using _subscriber = await b.subscribe([on(happened, async ({ text }, { attempt }) => {
        log.push(`${text}/${attempt}`);
        if (text === "bad" || (text === "flaky" && attempt === 1)) throw new Error("no");
        return { text };
      })], { maxAttempts: 2 });
      for (const text of ["good", "flaky", "bad", "last"]) await a.publish(happened, { text });
      await waitFor(() => log.at(-1) === "last/1");
      assert.deepEqual(log, ["good/1", "flaky/1", "flaky/2", "bad/1", "bad/2", "last/1"]);
      await waitFor(async () => (await harness.deadLetters("subscriber")).length === 1);
    });

    test("a group shares its events, keeps them while nobody listens, and handles them in order", async () => {
      const heard: string[] = [];
      const member = on(happened, async ({ text }) => {
        await new Promise((resolve) => setImmediate(resolve));
        heard.push(text);
        return { text };
      });
      {
        await using _one = await a.subscribe([member], { group: "suite" });
        await using _two = await b.subscribe([member], { group: "suite" });
        for (let n = 0; n < 20; n++) await a.publish(happened, { text: String(n) });
        await waitFor(() => heard.length === 20);
      }
      for (let n = 20; n < 40; n++) await a.publish(happened, { text: String(n) });
      await using _three = await b.subscribe([member], { group: "suite" });
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
      const first = await a.subscribe([member], { group: "handover" });
      await using _second = await b.subscribe([member], { group: "handover" });
      for (let n = 0; n < 60; n++) {
        await a.publish(happened, { text: String(n) });
        if (n === 30) void first[Symbol.asyncDispose]();
      }
      await waitFor(() => heard.length >= 60);
      assert.deepEqual(heard, Array.from({ length: 60 }, (_, n) => String(n)));
    });

    test("exclusive: one server is active, the next takes over when it leaves", async () => {
      const lone = command("lone.word.say.v1", Text, T.Object({ heard: T.String() }));
      const loneAsk = query("lone.word.ask.v1", Text, T.Object({ heard: T.String() }));
      const routes = (heard: string) => [on(lone, async () => ({ heard })), on(loneAsk, async () => ({ heard }))];
      const first = await a.serve("lone", routes("first"), { exclusive: true });
      await using _second = await b.serve("lone", routes("second"), { exclusive: true });
      const who = async () => new Set([
        ...(await Promise.all(Array.from({ length: 10 }, () => b.call(lone, { text: "" })))),
        ...(await Promise.all(Array.from({ length: 10 }, () => b.call(loneAsk, { text: "" })))),
      ].map((reply) => reply.heard));
      assert.deepEqual([...await who()], ["first"]);
      await first[Symbol.asyncDispose]();
      assert.deepEqual([...await who()], ["second"]);
      await assert.rejects(a.serve("lone", []), coded("CONFLICT"));
    });

    test("queries have servers of their own beside the one of the commands; between two of those, commands wait", async () => {
      const split = command("split.word.say.v1", Text, T.Object({ heard: T.String() }));
      const splitAsk = query("split.word.ask.v1", Text, T.Object({ heard: T.String() }));
      const answer = (heard: string) => async () => ({ heard });
      await using _one = await a.serve("split", [on(splitAsk, answer("one"))], { only: "queries" });
      await using _two = await b.serve("split", [on(splitAsk, answer("two"))], { only: "queries" });
      const first = await a.serve("split", [on(split, answer("first"))], { exclusive: true, only: "commands" });
      const asked = await Promise.all(Array.from({ length: 20 }, () => b.call(splitAsk, { text: "" })));
      assert.deepEqual(new Set(asked.map((reply) => reply.heard)), new Set(["one", "two"]));
      assert.deepEqual(await b.call(split, { text: "" }), { heard: "first" });
      await first[Symbol.asyncDispose]();
      const waiting = b.call(split, { text: "" });
      assert.ok(["one", "two"].includes((await b.call(splitAsk, { text: "" })).heard));
      await using _second = await b.serve("split", [on(split, answer("second"))], { exclusive: true, only: "commands" });
      assert.deepEqual(await waiting, { heard: "second" });
    });

    test("what a handler gives back is handled by the next consumer, and its caller waits on", async () => {
      const given = command("given.word.say.v1", Text, T.Object({ heard: T.String() }));
      let refused = 0;
      const leaving = await a.serve("given", [on(given, async (_, { signal }) => {
        refused++;
        if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve));
        throw new GiveBack();
      })], { exclusive: true });
      const keys = Array.from({ length: 5 }, (_, n) => `give-back-${n}`);
      const calls = keys.map((key) => b.call(given, { text: "" }, { key }));
      await waitFor(() => refused === 5);
      const seen: string[] = [];
      await using _next = await b.serve("given", [on(given, async (_, { messageId }) => { seen.push(messageId); return { heard: "next" }; })], { exclusive: true });
      await leaving[Symbol.asyncDispose]();
      assert.deepEqual(await Promise.all(calls), keys.map(() => ({ heard: "next" })));
      assert.deepEqual(seen.toSorted(), keys);
    });

    test("closing a consumer waits for its handler, whose signal tells", async () => {
      let aborted = false;
      let ended = false;
      let started = false;
      const server = await b.serve("suite", [on(say, async ({ text }, { signal }) => {
        started = true;
        await new Promise<void>((resolve) => signal.addEventListener("abort", () => { aborted = true; setTimeout(resolve, 20); }));
        ended = true;
        return { heard: text };
      })]);
      const call = a.call(say, { text: "x" });
      call.catch(() => {});
      await waitFor(() => started);
      await server[Symbol.asyncDispose]();
      assert.deepEqual([aborted, ended], [true, true]);
      assert.deepEqual(await call, { heard: "x" });
    });

    test("the trace goes on at the other side", async () => {
      spans.reset();
      let inside: string | undefined;
      await using _server = await b.serve("suite", [on(say, async ({ text }) => {
        inside = trace.getActiveSpan()?.spanContext().traceId;
        return { heard: text };
      })]);
      const traceId = await trace.getTracer("suite").startActiveSpan("outer", async (span) => {
        await a.call(say, { text: "" });
        span.end();
        return span.spanContext().traceId;
      });
      assert.equal(inside, traceId);
      const mine = await waitFor(() => {
        const found = spans.getFinishedSpans().filter((span) => span.spanContext().traceId === traceId);
        return found.length >= 3 ? found : null;
      });
      const send = mine.find((span) => span.name === "send suite");
      const process = mine.find((span) => span.name === "process suite");
      assert.equal(process?.parentSpanContext?.spanId, send?.spanContext().spanId);
      assert.equal(send?.attributes["messaging.operation.type"], "send");
      assert.equal(process?.attributes["messaging.destination.name"], "suite");
    });

    test("a closed bus refuses, and fails what still waits", async () => {
      await using _server = await b.serve("suite", [on(ask, (_, { signal }) => new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(new Error("closing")))))]);
      const c = await harness.open("c");
      const call = c.call(ask, { text: "" });
      call.catch(() => {});
      await c[Symbol.asyncDispose]();
      await assert.rejects(call, coded("UNAVAILABLE"));
      await assert.rejects(c.publish(happened, { text: "" }), coded("UNAVAILABLE"));
      await assert.rejects(c.serve("suite", []), coded("UNAVAILABLE"));
    });
  });
}

/** Counts how many run at the same time. */
function gauge() {
  let running = 0;
  const load = {
    most: 0,
    handler: async () => {
      load.most = Math.max(load.most, ++running);
      await new Promise((resolve) => setTimeout(resolve, 15));
      running--;
      return { heard: "" };
    },
  };
  return load;
}
