import assert from "node:assert/strict";
import { test } from "node:test";
import { command, event, fail, job } from "@gantry/contracts";
import { waitFor } from "@gantry/testkit";
import { Type as T } from "typebox";
import { on, type Delivery } from "../port.ts";
import { Text, coded, letters, tell, type Suite } from "./support.ts";

/** Messages that cannot be handled. */
export function deadLetterTests(suite: Suite): void {
  test("commands that were sent: retried, and dead-lettered after maxAttempts; unknown ones at once", async () => {
    const hopeless = command("dying.word.say.v1", Text, T.Object({}));
    const unknown = command("dying.word.unknown.v1", Text, T.Object({}));
    let calls = 0;
    await using _server = await suite.b.serve("dying", [on(hopeless, async () => { calls++; throw fail("CONFLICT", "never"); })], { maxAttempts: 2 });
    await suite.a.send(hopeless, { text: "" });
    await suite.a.send(unknown, { text: "" });
    const found = await letters(suite, "dying", 2);
    assert.equal(calls, 2);
    assert.deepEqual(found.map((letter) => letter.code).toSorted(), ["CONFLICT", "NOT_IMPLEMENTED"]);
  });

  test("what the handler needs is away for a while: tried again, in order, and no dead letter", async () => {
    const patient = event("suite.word.patient.v1", Text);
    const heard: string[] = [];
    let away = 6;
    await using _group = await suite.b.subscribe([on(patient, async (body, { attempt }) => {
      if (away-- > 0) throw fail("UNAVAILABLE", "the database is away");
      heard.push(`${body.text} ${attempt}`);
      return body;
    })], { group: "patient" });
    for (const text of ["1", "2", "3"]) await suite.a.publish(patient, { text });
    await waitFor(() => heard.length === 3);
    assert.deepEqual(heard, ["1 1", "2 1", "3 1"]);
    assert.deepEqual(await suite.a.deadLetters.list("group.patient"), []);
    // A consumer that is closed meanwhile leaves it to the next one.
    const waiting = job("suite.word.waiting.v1", Text);
    {
      let tried = 0;
      await using _closing = await suite.b.work(on(waiting, async () => { tried++; throw fail("UNAVAILABLE", "the database is away"); }));
      await suite.a.send(waiting, { text: "4" });
      await waitFor(() => tried > 3);
    }
    await using _next = await suite.b.work(on(waiting, async (body) => { heard.push(body.text); return body; }));
    await waitFor(() => heard.length === 4);
    assert.deepEqual(await suite.a.deadLetters.list(`job.${waiting.name}`), []);
  });

  test("a dead letter says what, where, whose, why and when", async () => {
    const doomed = job("suite.word.doomed.v1", Text);
    const before = Date.now();
    await using _worker = await suite.b.work(on(doomed, async () => { throw fail("BUILD_FAILED", "cannot be built"); }));
    await suite.a.send(doomed, { text: "x" }, { key: "doomed-key" });
    const [letter] = await letters(suite, `job.${doomed.name}`, 1);
    assert.match(letter!.id, /^[0-9a-f]{12}$/);
    assert.deepEqual([letter!.queue, letter!.code, letter!.reason, letter!.attempts, letter!.service], [`job.${doomed.name}`, "BUILD_FAILED", "cannot be built", 3, "b"]);
    assert.deepEqual([letter!.message.id, letter!.message.name, JSON.parse(letter!.message.body)], ["doomed-key", doomed.name, { text: "x" }]);
    const [first, last] = [Date.parse(letter!.firstFailedAt!), Date.parse(letter!.lastFailedAt!)];
    assert.ok(before <= first && first <= last && last <= Date.now(), `${letter!.firstFailedAt} ${letter!.lastFailedAt}`);
    assert.match(letter!.routingKey, new RegExp(`job\\.${doomed.name}$`));
    // It is listed among all, looking changes nothing, and no other queue has it.
    for (let n = 0; n < 2; n++) assert.ok((await suite.b.deadLetters.list()).some(({ id }) => id === letter!.id));
    assert.deepEqual(await suite.a.deadLetters.list("suite"), []);
  });

  test("one that is retried is handled as if it had just come, with its key and its trace, and is no dead letter any more", async () => {
    const mended = job("suite.word.mended.v1", Text);
    const seen: Delivery[] = [];
    let works = false;
    await using _worker = await suite.b.work(on(mended, async (body, delivery) => {
      seen.push(delivery);
      if (!works) throw new Error("not yet");
      return body;
    }), { maxAttempts: 1 });
    await suite.a.send(mended, { text: "x" }, { key: "mended-key" });
    const [letter] = await letters(suite, `job.${mended.name}`, 1);
    works = true;
    assert.equal((await suite.a.deadLetters.retry(letter!.id)).message.id, "mended-key");
    await waitFor(() => seen.length === 2);
    assert.deepEqual([seen[1]!.messageId, seen[1]!.attempt, seen[1]!.redelivered], ["mended-key", 1, false]);
    assert.deepEqual(await suite.a.deadLetters.list(`job.${mended.name}`), []);
    await assert.rejects(suite.a.deadLetters.retry(letter!.id), coded("NOT_FOUND"));
  });

  test("a list is bounded, one is found by its ID, and all are retried at once in their order", async () => {
    const many = job("suite.word.many.v1", Text);
    const queue = `job.${many.name}`;
    const heard: string[] = [];
    let works = false;
    await using _worker = await suite.b.work(on(many, async (body) => {
      if (!works) throw new Error(`not ${body.text}`);
      heard.push(body.text);
      return body;
    }), { maxAttempts: 1 });
    for (const text of ["1", "2", "3", "4", "5"]) await suite.a.send(many, { text });
    const all = await letters(suite, queue, 5);
    assert.deepEqual((await suite.a.deadLetters.list(queue, 2)).map(({ id }) => id), all.slice(0, 2).map(({ id }) => id));
    assert.deepEqual((await suite.a.deadLetters.list(queue)).map(({ id }) => id), all.map(({ id }) => id), "looking changes no order");
    assert.equal((await suite.a.deadLetters.list(undefined, 3)).length, 3);
    assert.deepEqual(await suite.a.deadLetters.get(all[3]!.id), all[3]);
    await assert.rejects(suite.a.deadLetters.get("0".repeat(12), queue), coded("NOT_FOUND"));
    assert.deepEqual(await suite.a.deadLetters.list("nobody-has-this-queue"), []);
    works = true;
    assert.deepEqual(await suite.b.deadLetters.retryAll(queue), { retried: 5, kept: 0, reason: null });
    await waitFor(() => heard.length === 5);
    assert.deepEqual(heard, ["1", "2", "3", "4", "5"]);
    assert.deepEqual(await suite.a.deadLetters.retryAll(queue), { retried: 0, kept: 0, reason: null });
  });

  test("several who retry at once do it once", async () => {
    const twice = job("suite.word.twice.v1", Text);
    let handled = 0;
    let works = false;
    await using _worker = await suite.b.work(on(twice, async (body) => {
      if (!works) throw new Error("not yet");
      handled++;
      return body;
    }), { maxAttempts: 1 });
    await suite.a.send(twice, { text: "x" });
    const [letter] = await letters(suite, `job.${twice.name}`, 1);
    works = true;
    const outcomes = await Promise.allSettled([suite.a, suite.b, suite.a, suite.b].map((bus) => bus.deadLetters.retry(letter!.id)));
    assert.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 1);
    for (const outcome of outcomes) if (outcome.status === "rejected") assert.ok(coded("NOT_FOUND")(outcome.reason), String(outcome.reason));
    await waitFor(() => handled > 0);
    // What was retried twice would have come by now: the queue is in order.
    await suite.a.send(twice, { text: "after" });
    await waitFor(() => handled >= 2);
    assert.equal(handled, 2);
  });

  test("one that is retried and fails again is a dead letter again; one that is dropped is gone", async () => {
    const stubborn = job("suite.word.stubborn.v1", Text);
    let calls = 0;
    await using _worker = await suite.b.work(on(stubborn, async () => { calls++; throw new Error("never"); }), { maxAttempts: 2 });
    await suite.a.send(stubborn, { text: "x" });
    const queue = `job.${stubborn.name}`;
    const [letter] = await letters(suite, queue, 1);
    await suite.a.deadLetters.retry(letter!.id, queue);
    await waitFor(() => calls === 4);
    const [again] = await letters(suite, queue, 1);
    assert.equal(again!.id, letter!.id);
    assert.equal((await suite.b.deadLetters.drop(letter!.id)).id, letter!.id);
    assert.deepEqual(await suite.a.deadLetters.list(queue), []);
    await assert.rejects(suite.a.deadLetters.drop(letter!.id), coded("NOT_FOUND"));
  });

  test("what is no JSON, what does not fit, what nobody knows and what has no ID is dead-lettered at once, and holds nobody up", async () => {
    const fits = job("suite.word.fits.v1", Text);
    const heard: string[] = [];
    await using _worker = await suite.b.work(on(fits, async (body) => { heard.push(body.text); return body; }));
    const queue = `job.${fits.name}`;
    await suite.harness.sendRaw({ queue, id: "1", name: fits.name, body: "{\"text\":" });
    await suite.harness.sendRaw({ queue, id: "2", name: fits.name, body: "{\"text\":1}" });
    await suite.harness.sendRaw({ queue, id: "3", name: "suite.word.from-the-future.v9", body: "{}" });
    await suite.harness.sendRaw({ queue, id: "", name: "", body: "\u0000\uffff" });
    await suite.a.send(fits, { text: "sound" });
    await waitFor(() => heard.length > 0);
    const found = await letters(suite, queue, 4);
    assert.deepEqual(found.map(({ message, code, attempts }) => [message.id, code, attempts]), [["1", "INVALID", 1], ["2", "INVALID", 1], ["3", "NOT_IMPLEMENTED", 1], ["", "INVALID", 1]]);
    assert.equal(found[0]!.message.body, "{\"text\":");
    assert.equal(new Set(found.map(({ id }) => id)).size, 4);
    for (const { id } of found) await suite.a.deadLetters.drop(id, queue);
    assert.deepEqual(await suite.a.deadLetters.list(queue), []);
  });

  test("dead letters of nodes are kept together, and go back to their node", async () => {
    let works = false;
    const heard: string[] = [];
    const serve = (node: string) => suite.b.serve(`node.${node}`, [on(tell, async ({ text }) => {
      if (!works) throw new Error("no");
      heard.push(`${node} ${text}`);
      return { heard: "" };
    })], { maxAttempts: 1 });
    await using _one = await serve("dead1");
    await using _two = await serve("dead2");
    await suite.a.send(tell, { text: "x" }, { node: "dead1" });
    await suite.a.send(tell, { text: "y" }, { node: "dead2" });
    const found = await letters(suite, "node", 2);
    assert.deepEqual(found.map(({ queue }) => queue).toSorted(), ["node.dead1", "node.dead2"]);
    assert.deepEqual((await suite.a.deadLetters.list("node.dead2")).map(({ queue }) => queue), ["node.dead2"]);
    works = true;
    for (const { id } of found) await suite.a.deadLetters.retry(id);
    await waitFor(() => heard.length === 2);
    assert.deepEqual(heard.toSorted(), ["dead1 x", "dead2 y"]);
  });

  test("an event goes back to the subscriber that could not handle it, not to the others", async () => {
    const touchy = event("suite.word.touchy.v1", Text);
    const heard: string[] = [];
    let works = false;
    {
      await using _calm = await suite.a.subscribe([on(touchy, async (body) => { heard.push(`calm ${body.text}`); return body; })]);
      await using _touchy = await suite.b.subscribe([on(touchy, async (body) => {
        if (!works) throw new Error("touched");
        heard.push(`touchy ${body.text}`);
        return body;
      })]);
      for (const text of ["1", "2"]) await suite.a.publish(touchy, { text });
      const found = await waitFor(async () => {
        const own = (await suite.a.deadLetters.list("subscriber")).filter(({ message }) => message.name === touchy.name);
        return own.length === 2 ? own : undefined;
      });
      assert.deepEqual(found.map(({ message }) => message.body), ["{\"text\":\"1\"}", "{\"text\":\"2\"}"]);
      works = true;
      await suite.a.deadLetters.retry(found[0]!.id);
      await waitFor(() => heard.length === 3);
      assert.deepEqual(heard.toSorted(), ["calm 1", "calm 2", "touchy 1"]);
    }
    const left = (await suite.a.deadLetters.list("subscriber")).find(({ message }) => message.name === touchy.name);
    await assert.rejects(suite.a.deadLetters.retry(left!.id), coded("UNAVAILABLE"));
    const outcome = await suite.a.deadLetters.retryAll("subscriber");
    assert.equal(outcome.retried, 0);
    assert.match(outcome.reason!, /is gone: it can only be dropped/);
    await suite.a.deadLetters.get(left!.id);
    await suite.a.deadLetters.drop(left!.id);
  });
}
