import assert from "node:assert/strict";
import { appendFile, readdir, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type LogOptions, readLog } from "./index.ts";
import { Rig, seen } from "./test/rig.ts";

let rig: Rig;
before(async () => { rig = await Rig.make(); });
after(async () => { await rig[Symbol.asyncDispose](); });

async function lines(dir: string, options: LogOptions = {}): Promise<string[]> {
  const out: string[] = [];
  for await (const record of readLog(dir, options)) out.push(record.data.toString());
  return out;
}

test("lines of both streams, what has no newline at its end, and lines that are too long", async () => {
  const { spec } = await rig.run(["sh", "-c", "echo one; echo err >&2; head -c 40000 /dev/zero; echo; printf rest"]);
  const records = [];
  for await (const record of readLog(spec.dir)) records.push(record);
  assert.deepEqual(records.filter((r) => r.stream === "stderr").map((r) => r.data.toString()), ["err"]);
  assert.deepEqual(records.filter((r) => r.stream === "stdout").map((r) => [r.data.length, r.partial]), [[3, false], [16384, true], [16384, true], [7232, false], [4, false]]);
  const now = BigInt(Date.now()) * 1_000_000n;
  for (const { time } of records) assert.ok(time > now - 60_000_000_000n && time <= now + 1_000_000_000n);
  assert.deepEqual(await lines(spec.dir, { stdout: false }), ["err"]);
});

test("tail, since and until", async () => {
  const { spec } = await rig.run(["sh", "-c", "seq 1 15000"]);
  assert.deepEqual(await lines(spec.dir, { tail: 3 }), ["14998", "14999", "15000"]);
  assert.deepEqual(await lines(spec.dir, { tail: 0 }), []);
  assert.equal((await lines(spec.dir, { tail: 12_000 })).length, 12_000);
  assert.equal((await lines(spec.dir, { tail: 1_000_000 })).length, 15_000);
  const times: bigint[] = [];
  for await (const { time } of readLog(spec.dir)) times.push(time);
  const middle = times[7_000]!;
  assert.equal((await lines(spec.dir, { since: middle })).length, times.filter((t) => t >= middle).length);
  assert.equal((await lines(spec.dir, { until: middle })).length, times.filter((t) => t <= middle).length);
});

test("a terminal's log is all stdout", async () => {
  const { spec } = await rig.run(["sh", "-c", "echo out; echo err >&2"], { terminal: true });
  assert.deepEqual(await lines(spec.dir), ["out\r", "err\r"]);
});

test("following ends with the container, with everything read", async () => {
  const spec = await rig.spec(["sh", "-c", "echo first; read x; seq 1 5000; echo last"], { openStdin: true });
  const { container, attached } = await rig.runtime.start(spec, { attach: [{ stdin: true, stdout: true, stderr: true }] });
  await seen(attached[0]!, "first\n");
  const got: string[] = [];
  for await (const record of readLog(spec.dir, { follow: true })) {
    got.push(record.data.toString());
    if (got.length === 1) { attached[0]!.write("go\n"); attached[0]!.resume(); }
  }
  assert.equal(got.length, 5002);
  assert.equal(got.at(-1), "last");
  await container.exited;
  assert.equal((await lines(spec.dir, { follow: true })).length, 5002);
});

test("following ends when it is told to", async () => {
  const { spec } = await rig.sleeper();
  const stop = new AbortController();
  const all = lines(spec.dir, { follow: true, signal: stop.signal });
  stop.abort();
  assert.deepEqual(await all, []);
});

test("a container that is started again goes on in the same log", async () => {
  const spec = await rig.spec(["echo", "run"]);
  for (let i = 0; i < 2; i++) await (await rig.runtime.start(spec)).container.exited;
  assert.deepEqual(await lines(spec.dir), ["run", "run"]);
});

test("a torn record at the end is not shown; no log is none", async () => {
  const { spec } = await rig.run(["sh", "-c", "seq 1 3"]);
  const path = join(spec.dir, "log");
  await truncate(path, (await stat(path)).size - 3);
  assert.deepEqual(await lines(spec.dir), ["1", "2"]);
  await appendFile(path, "x".repeat(50));
  await assert.rejects(lines(spec.dir), /damaged/);
  assert.deepEqual(await lines((await rig.run(["echo", "x"], { log: null })).spec.dir), []);
});

test("a bounded log keeps the newest of it, in the order it was written", async () => {
  const { spec } = await rig.run(["sh", "-c", "seq 1 10000"], { log: { maxBytes: 20_000, maxFiles: 3 } });
  const sizes = await Promise.all(["log", "log.1", "log.2"].map(async (name) => (await stat(join(spec.dir, name))).size));
  assert.ok(sizes.every((size) => size > 0 && size <= 20_000), String(sizes));
  assert.deepEqual((await readdir(spec.dir)).filter((name) => name.startsWith("log")).toSorted(), ["log", "log.1", "log.2"]);
  const all = await lines(spec.dir);
  assert.ok(all.length > 1_600 && all.length < 2_500, String(all.length));
  assert.deepEqual(all, Array.from({ length: all.length }, (_, i) => String(10_000 - all.length + 1 + i)));
  for (const tail of [0, 1, 500, 1_000, 1_500]) assert.deepEqual(await lines(spec.dir, { tail }), all.slice(all.length - tail));
  assert.deepEqual(await lines(spec.dir, { tail: 100_000 }), all);
});

test("following goes on from file to file, and misses nothing while it keeps up", async () => {
  const spec = await rig.spec(["sh", "-c", "i=0; while read x; do seq $((i * 100 + 1)) $((i * 100 + 100)); i=$((i + 1)); done"], { openStdin: true, stdinOnce: true, log: { maxBytes: 5_000, maxFiles: 2 } });
  const { attached } = await rig.runtime.start(spec, { attach: [{ stdin: true, stdout: false, stderr: false }] });
  const input = attached[0]!.resume();
  input.write("go\n");
  const got: string[] = [];
  for await (const record of readLog(spec.dir, { follow: true })) {
    got.push(record.data.toString());
    // 100 lines are about half a file.
    if (got.length === 3_000) input.end();
    else if (got.length % 100 === 0) input.write("go\n");
  }
  assert.deepEqual(got, Array.from({ length: 3_000 }, (_, i) => String(i + 1)));
});

test("one who is slower than the bound goes on with what is left, to the end", async () => {
  const spec = await rig.spec(["sh", "-c", "echo 0; read x; seq 1 20000; read x"], { openStdin: true, log: { maxBytes: 10_000, maxFiles: 2 } });
  const { attached } = await rig.runtime.start(spec, { attach: [{ stdin: true, stdout: true, stderr: true }] });
  await seen(attached[0]!, "0");
  const reader = readLog(spec.dir, { follow: true });
  assert.equal((await reader.next()).value?.data.toString(), "0");
  attached[0]!.write("go\n");
  await seen(attached[0]!, "20000\n");
  attached[0]!.end("end\n");
  const rest: number[] = [];
  for await (const record of reader) rest.push(Number(record.data.toString()));
  assert.equal(rest.at(-1), 20_000);
  assert.ok(rest.length < 20_000);
  for (let i = 1; i < rest.length; i++) assert.ok(rest[i]! > rest[i - 1]!);
});
