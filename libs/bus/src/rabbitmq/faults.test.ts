import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectTo, createServer, type AddressInfo, type Socket } from "node:net";
import { after, before, beforeEach, describe, test } from "node:test";
import { isGantryError, silentLogger, systemClock, type Logger } from "@gantry/kernel";
import { startRabbit, waitFor, type TestService } from "@gantry/testkit";
import { connect } from "amqplib";
import { ask, happened, say, toil } from "../contract-suite/support.ts";
import { openBus } from "../open.ts";
import { on, type Bus } from "../port.ts";

/** A broker of our own, which is killed and restarted. */
describe("RabbitMQ: faults", { timeout: 180_000 }, () => {
  let rabbit: TestService;
  /** What the buses logged. */
  let log: string[] = [];
  const logger: Logger = {
    debug() {}, info: (_, message) => { log.push(message); }, warn: (_, message) => { log.push(message); }, error: (_, message) => { log.push(message); },
    child: () => logger,
  };
  const open = (service: string): Promise<Bus> => openBus(rabbit.url, { service, clock: systemClock, logger });

  // A delivery not acknowledged within two seconds closes its channel: half an hour with the broker's defaults.
  before(async () => { rabbit = await startRabbit({ settings: { consumer_timeout: "2000", channel_tick_interval: "300" } }); });
  beforeEach(() => { log = []; });
  after(async () => { await rabbit[Symbol.asyncDispose](); });

  /** Deletes a queue under its consumers' feet, or does what makes the broker close a channel. */
  async function meddle(work: (channel: Awaited<ReturnType<Awaited<ReturnType<typeof connect>>["createChannel"]>>) => Promise<unknown>): Promise<void> {
    const model = await connect(rabbit.url);
    const channel = await model.createChannel();
    channel.on("error", () => {});
    await work(channel);
    await model.close();
  }

  test("a wrong password is told at once", async () => {
    await assert.rejects(openBus(rabbit.url.replace("guest:guest", "guest:wrong"), { service: "x", clock: systemClock, logger }),
      (error) => isGantryError(error, "UNAVAILABLE") && /ACCESS.REFUSED|403/.test(error.message));
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
    const started: string[] = [];
    const done: string[] = [];
    await using _worker = await a.work(on(toil, async ({ text }) => {
      started.push(text);
      if (text === "long") await gate;
      done.push(text);
      return { text };
    }), { concurrency: 2 });
    await a.send(toil, { text: "long" });
    await waitFor(() => started.length === 1);
    await waitFor(() => log.includes("set up a channel to the message broker again"), { what: "the broker to close the channel" });
    assert.ok(log.includes("lost a channel to the message broker"));
    // By now the message was delivered again, on the new channel; it must not start a second time.
    await a.send(toil, { text: "beside" });
    await waitFor(() => done.includes("beside"));
    finish();
    await waitFor(() => done.includes("long"));
    await a.send(toil, { text: "next" });
    await waitFor(() => done.includes("next"));
    assert.deepEqual(started, ["long", "beside", "next"]);
    await meddle(async (channel) => {
      await waitFor(async () => (await channel.checkQueue(`gantry.job.${toil.name}`)).messageCount === 0);
    });
  });

  test("a broker that is killed and restarted: nothing confirmed is lost, and everyone goes on", async () => {
    await using a = await open("a");
    await using b = await open("b");
    const { promise: gate, resolve: finish } = Promise.withResolvers<void>();
    const jobs = new Set<string>();
    const events: string[] = [];
    const long: string[] = [];
    await using _server = await b.serve("suite", [
      on(say, async ({ text }, { messageId }) => {
        if (text !== "long") return { heard: text };
        long.push(messageId);
        await gate;
        return { heard: "at last" };
      }),
      on(ask, async ({ text }) => ({ heard: text })),
    ]);
    await using _group = await b.subscribe([on(happened, async ({ text }) => { events.push(text); return { text }; })], { group: "restart" });
    {
      // Declares the queue in which the jobs wait.
      await using _worker = await b.work(on(toil, async ({ text }) => ({ text })));
    }
    // RabbitMQ 3.10 writes the names of new quorum queues to disk up to half a second late (Ra's directory is a DETS table), whatever
    // it confirms: a queue declared just before a crash comes back empty.
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    for (let n = 0; n < 20; n++) await a.send(toil, { text: `job ${n}` });
    const longCall = a.call(say, { text: "long" }, { timeoutMs: 120_000 });
    longCall.catch(() => {});
    await waitFor(() => long.length === 1);

    await rabbit.kill();
    // What is begun while the broker is away waits for it, as long as it may.
    const opening = open("early");
    const call = a.call(say, { text: "across" }, { timeoutMs: 90_000 });
    const query = a.call(ask, { text: "across" }, { timeoutMs: 90_000 });
    const publishing = a.publish(happened, { text: "across" });
    const settled = Promise.allSettled([call, query, publishing]);
    await assert.rejects(a.send(toil, { text: "too late" }, { timeoutMs: 50 }), (error) => isGantryError(error, "UNAVAILABLE"));
    await rabbit.start();

    const [called, asked, published] = await settled;
    // The caller may be there first: it waits for the server to come back, too.
    assert.deepEqual([called, asked], Array.from({ length: 2 }, () => ({ status: "fulfilled", value: { heard: "across" } })));
    if (published.status === "rejected") assert.ok(isGantryError(published.reason, "UNAVAILABLE"), String(published.reason));
    else await waitFor(() => events.includes("across"), { timeout: 30_000 });
    await (await opening)[Symbol.asyncDispose]();
    await waitFor(async () => (await a.call(say, { text: "y" })).heard === "y", { timeout: 30_000 });
    await waitFor(async () => (await a.call(ask, { text: "y" })).heard === "y", { timeout: 30_000 });

    // The handler that was at work was delivered its message again, from the queue and from the caller: it must not run beside itself.
    finish();
    assert.deepEqual(await longCall, { heard: "at last" });
    assert.equal(long.length, 1);

    await using _worker = await b.work(on(toil, async ({ text }) => { jobs.add(text); return { text }; }), { concurrency: 5 });
    await waitFor(() => Array.from({ length: 20 }, (_, n) => `job ${n}`).every((text) => jobs.has(text)), { timeout: 30_000 });
  });

  test("a connection that hangs, with nobody telling: heartbeats find it, and what was under way goes on over the next", async () => {
    await using network = await openProxy(rabbit.url);
    await using a = await openBus(network.url, { service: "a", clock: systemClock, logger, heartbeatSeconds: 1 });
    await using b = await open("b");
    await using _server = await b.serve("suite", [on(say, async ({ text }) => ({ heard: text }))]);
    const heard: string[] = [];
    await using _listening = await a.subscribe([on(happened, async ({ text }) => { heard.push(text); return { text }; })]);
    assert.deepEqual(await a.call(say, { text: "before" }), { heard: "before" });
    network.freeze();
    const call = a.call(say, { text: "into the void" }, { timeoutMs: 60_000 });
    const publishing = a.publish(happened, { text: "from a" });
    await b.publish(happened, { text: "from b" });
    assert.deepEqual(await call, { heard: "into the void" });
    await publishing;
    await waitFor(() => heard.length >= 2, { timeout: 30_000 });
    assert.deepEqual(heard.toSorted(), ["from a", "from b"]);
  });

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
});

describe("RabbitMQ: memory alarm", { timeout: 60_000 }, () => {
  test("a broker that is low on memory: what is sent is refused in time and with the reason, and messages are still taken from it", async () => {
    await using rabbit = await startRabbit({ settings: { vm_memory_high_watermark: "{absolute,1000000}" } });
    await using a = await openBus(rabbit.url, { service: "a", clock: systemClock, logger: silentLogger });
    await using b = await openBus(rabbit.url, { service: "b", clock: systemClock, logger: silentLogger });
    const heard: string[] = [];
    await using _server = await b.serve("suite", [on(say, async ({ text }) => { heard.push(text); return { heard: text }; })]);
    const blocked = (error: unknown) => isGantryError(error, "UNAVAILABLE") && /takes no messages for now \(it is low on memory or disk\): try again later/.test(error.message);
    // The alarm is told to whoever publishes: the first message may be through before that.
    await waitFor(() => a.send(say, { text: "early" }, { timeoutMs: 200 }).then(() => false, (error: unknown) => blocked(error)));
    const outcomes = await Promise.allSettled([
      ...Array.from({ length: 2_000 }, (_, n) => a.send(say, { text: `${n}` }, { timeoutMs: 1_000 })), a.call(say, { text: "call" }, { timeoutMs: 1_000 }),
    ]);
    for (const outcome of outcomes) assert.ok(outcome.status === "rejected" && blocked(outcome.reason), outcome.status === "rejected" ? String(outcome.reason) : "sent");
    assert.ok(heard.every((text) => text === "early"), heard.join());
    assert.deepEqual(await b.deadLetters.list("suite"), []);
  });
});

/** A way to the broker that can stop carrying anything, while both ends think that they are connected. */
async function openProxy(url: string): Promise<AsyncDisposable & { readonly url: string; freeze(): void }> {
  const to = new URL(url);
  const pairs = new Set<readonly [Socket, Socket]>();
  const server = createServer((near) => {
    const far = connectTo(Number(to.port), to.hostname);
    const pair = [near, far] as const;
    pairs.add(pair);
    for (const [socket, other] of [[near, far], [far, near]] as const) {
      socket.on("error", () => other.destroy());
      socket.on("close", () => { pairs.delete(pair); other.destroy(); });
      socket.pipe(other);
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const own = new URL(url);
  own.port = String((server.address() as AddressInfo).port);
  return {
    url: own.href,
    freeze() {
      for (const [near, far] of pairs) for (const socket of [near, far]) { socket.unpipe(); socket.pause(); }
    },
    async [Symbol.asyncDispose]() {
      for (const [near, far] of pairs) { near.destroy(); far.destroy(); }
      server.close();
      await once(server, "close");
    },
  };
}
