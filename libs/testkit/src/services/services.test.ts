import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import test from "node:test";
import { promisify } from "node:util";
import { tempDir } from "../temp-dir.ts";
import { waitFor } from "../wait-for.ts";
import { startRedis } from "./redis.ts";

const run = promisify(execFile);

test("a service survives being killed on the same address, and ends when disposed", async () => {
  const redis = await startRedis();
  const { url } = redis;
  await redis.kill();
  assert.equal(redis.running, false);
  await redis.start();
  assert.equal(redis.url, url);
  assert.equal(redis.running, true);
  await redis[Symbol.asyncDispose]();
  assert.equal(redis.running, false);
});

test("a service ends with the process that started it, even one that was killed", async () => {
  const program = `
    const { startRedis } = await import(${JSON.stringify(path.join(import.meta.dirname, "redis.ts"))});
    await startRedis();
    const { readdirSync, readFileSync } = await import("node:fs");
    const children = readFileSync("/proc/self/task/" + process.pid + "/children", "utf8").trim();
    process.stdout.write(children, () => process.kill(process.pid, "SIGKILL"));`;
  // Its data directory stays behind with nobody to remove it.
  using scope = new DisposableStack();
  const env = { ...process.env, TMPDIR: tempDir(scope) };
  const child = await run(process.execPath, ["--input-type=module", "-e", program], { env }).catch((error: { signal: string; stdout: string }) => error);
  assert.match(child.stdout, /^[0-9]+$/);
  await waitFor(() => !existsSync(`/proc/${child.stdout}`) || / Z /.test(readFileSync(`/proc/${child.stdout}/stat`, "utf8")), { what: "the server to end" });
});

test("the runner gives the command URLs, and its exit code back", async () => {
  const runner = path.join(import.meta.dirname, "..", "services-runner.ts");
  const env = { ...process.env, GANTRY_TEST_REDIS: "", GANTRY_TEST_AMQP: "amqp://elsewhere" };
  const failing = await run(process.execPath, [runner, "--only=redis,rabbit", "--", "sh", "-c", "echo $GANTRY_TEST_REDIS $GANTRY_TEST_AMQP; exit 7"], { env }).catch((error: { code: number; stdout: string }) => error);
  assert.equal((failing as { code: number }).code, 7);
  assert.match(failing.stdout, /^redis:\/\/127\.0\.0\.1:[0-9]+ amqp:\/\/elsewhere\n$/);
});
