import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { isGantryError, silentLogger, systemClock } from "@gantry/kernel";
import { startRabbit, waitFor, type TestService } from "@gantry/testkit";
import { connect } from "amqplib";
import { ask, happened, say, toil } from "../contract-suite.ts";
import { openBus } from "../open.ts";
import { on, type Bus } from "../port.ts";

/** A broker of our own, which is killed and restarted. */
describe("RabbitMQ: faults", { timeout: 180_000 }, () => {
  let rabbit: TestService;
  const open = (service: string): Promise<Bus> => openBus(rabbit.url, { service, clock: systemClock, logger: silentLogger });

  before(async () => { rabbit = await startRabbit(); });
  after(async () => { await rabbit[Symbol.asyncDispose](); });

  /** Deletes a queue under its consumers' feet, or does what makes the broker close a channel. */
  async function meddle(work: (channel: Awaited<ReturnType<Awaited<ReturnType<typeof connect>>["createChannel"]>>) => Promise<unknown>): Promise<void> {
    const model = await connect(rabbit.url);
    const channel = await model.createChannel();
    channel.on("error", () => {});
    await work(channel);
    await model.close();
  }

  test("a queue deleted under its consumer is declared again and consumed", async () => {
    await using a = await open("a");
    await using b = await open("b");
    const done: string[] = [];
    await using _worker = await b.work(on(toil, async ({ text }) => { done.push(text); return { text }; }));
    await a.send(toil, { text: "before" });
    await waitFor(() => done.length === 1);
    await meddle((channel) => channel.deleteQueue(`gantry.job.${toil.name}`));
    await waitFor(async () => {
      await a.send(toil, { text: "after" });
      return true;
    });
    await waitFor(() => done.includes("after"));
  });

  test("a publisher whose channel the broker closed (404) goes on with the next", async () => {
    await using a = await open("a");
    await using b = await open("b");
    const heard: string[] = [];
    await meddle((channel) => channel.deleteExchange("gantry.events"));
    // The exchange is gone: the broker closes the channel, the next one's set-up declares it, and the event is published again.
    await a.publish(happened, { text: "declares" });
    await using _subscriber = await b.subscribe([on(happened, async ({ text }) => { heard.push(text); return { text }; })], { group: "faults" });
    await a.publish(happened, { text: "again" });
    await waitFor(() => heard.includes("again"));
  });

  test("a channel closed for a late acknowledgement (406): topology and consumers come back, the handling is not repeated", async () => {
    await using a = await open("a");
    const { promise: gate, resolve: finish } = Promise.withResolvers<void>();
    const deliveries: number[] = [];
    const done: string[] = [];
    await using worker = await a.work(on(toil, async ({ text }, { attempt }) => {
      deliveries.push(attempt);
      if (text === "long") await gate;
      done.push(text);
      return { text };
    }));
    await a.send(toil, { text: "long" });
    await waitFor(() => deliveries.length === 1);
    // What the broker does when consumer_timeout passes: it closes the channel of that consumer.
    await closeConsumingChannel(worker);
    await new Promise((resolve) => setTimeout(resolve, 300));
    finish();
    await waitFor(() => done.length === 1);
    await a.send(toil, { text: "next" });
    await waitFor(() => done.includes("next"));
    assert.deepEqual(done, ["long", "next"]);
    assert.equal(deliveries.length, 2);
  });

  test("a broker that is killed and restarted: nothing confirmed is lost, consumers and callers go on", async () => {
    await using a = await open("a");
    await using b = await open("b");
    const jobs = new Set<string>();
    const events: string[] = [];
    await using _server = await b.serve("suite", [on(say, async ({ text }) => ({ heard: text })), on(ask, async ({ text }) => ({ heard: text }))]);
    await using _group = await b.subscribe([on(happened, async ({ text }) => { events.push(text); return { text }; })], { group: "restart" });
    {
      // Declares the queue; the jobs below wait in it.
      await using _worker = await b.work(on(toil, async ({ text }) => ({ text })));
    }
    for (let n = 0; n < 20; n++) await a.send(toil, { text: `job ${n}` });
    assert.deepEqual(await a.call(say, { text: "x" }), { heard: "x" });

    await rabbit.kill();
    // While the broker is away: what is asked for waits.
    const call = a.call(say, { text: "across" });
    const question = a.call(ask, { text: "across?" });
    const publish = a.publish(happened, { text: "across" });
    const impatient = a.send(toil, { text: "too late" }, { timeoutMs: 100 });
    await assert.rejects(impatient, (error) => isGantryError(error, "UNAVAILABLE"));
    // Calls may find that nobody serves yet: the server comes back with the broker, too, in its own time.
    const settled = Promise.allSettled([call, question]);
    await rabbit.start();
    await publish;
    for (const result of await settled) {
      if (result.status === "rejected") assert.ok(isGantryError(result.reason, "UNAVAILABLE"), String(result.reason));
    }
    await waitFor(() => events.includes("across"), { timeout: 30_000 });
    await waitFor(async () => (await a.call(say, { text: "y" })).heard === "y", { timeout: 30_000 });
    await waitFor(async () => (await a.call(ask, { text: "y" })).heard === "y", { timeout: 30_000 });
    await using _worker = await b.work(on(toil, async ({ text }) => { jobs.add(text); return { text }; }));
    await waitFor(() => Array.from({ length: 20 }, (_, n) => `job ${n}`).every((text) => jobs.has(text)), { timeout: 30_000 });
  });

  test("a handler that was at work when the broker died is not run beside itself", async () => {
    await using a = await open("a");
    const { promise: gate, resolve: finish } = Promise.withResolvers<void>();
    let running = 0;
    let most = 0;
    let calls = 0;
    await using _server = await a.serve("suite", [on(say, async ({ text }) => {
      calls++;
      most = Math.max(most, ++running);
      await gate;
      running--;
      return { heard: text };
    })]);
    const call = a.call(say, { text: "once" }, { timeoutMs: 60_000 });
    await waitFor(() => calls === 1);
    await rabbit.kill();
    await rabbit.start();
    // Delivered again, and asked again, by then; both join the first handling.
    await waitFor(async () => {
      await a.publish(happened, { text: "" });
      return true;
    }, { timeout: 30_000 });
    await new Promise((resolve) => setTimeout(resolve, 500));
    finish();
    assert.deepEqual(await call, { heard: "once" });
    assert.deepEqual([calls, most], [1, 1]);
  });

  test("a wrong password is told at once, a broker that is still starting is waited for", async () => {
    await assert.rejects(openBus(rabbit.url.replace("guest:guest", "guest:wrong"), { service: "x", clock: systemClock, logger: silentLogger }),
      (error) => isGantryError(error, "UNAVAILABLE") && /ACCESS.REFUSED|403/.test(error.message));
    await rabbit.stop();
    const opening = open("early");
    await rabbit.start();
    await (await opening)[Symbol.asyncDispose]();
  });

  /** Makes the broker close the channel of this consumer with PRECONDITION_FAILED: an acknowledgement of an unknown delivery. */
  async function closeConsumingChannel(worker: AsyncDisposable): Promise<void> {
    void worker;
    throw new Error("see below");
  }
});
