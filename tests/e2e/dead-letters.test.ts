/** A message that cannot be handled, through the gantry command. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Engine, eventually } from "./support/engine.ts";

let engine: Engine;
before(async () => {
  engine = await Engine.start({ env: { GANTRY_FAILPOINTS: "bus.handle.node.container.report.v1=3*error(the scheduler's disk is on fire)" } });
  await engine.loadBase("busybox");
});
after(() => engine[Symbol.asyncDispose]());

test("an event that fails three times is a dead letter with its reason; once it is retried, what it told is known", async () => {
  const id = await engine.ok(["run", "-d", "--name", "quiet", "busybox", "true"]);
  const listed = await eventually("the dead letter", async () => {
    const { stdout } = await engine.gantry(["dead", "ls"]);
    return stdout.split("\n").length > 2 ? stdout : null;
  }, 20_000);
  assert.match(listed, /^ID +QUEUE +MESSAGE +ATTEMPTS +LAST FAILED +REASON\n[0-9a-f]{12} +group\.scheduler +node\.container\.report\.v1 +3 +.* ago +INTERNAL: the scheduler's disk is on fire\n$/);
  const letter = listed.split("\n")[1]!.slice(0, 12);
  assert.equal((await engine.gantry(["dead", "ls", "-q", "--queue", "group.scheduler"])).stdout, `${letter}\n`);
  assert.equal((await engine.gantry(["dead", "ls", "-q", "--queue", "node"])).stdout, "");
  const shown = (await engine.gantry(["dead", "show", letter])).stdout;
  assert.match(shown, /^Message: +node\.container\.report\.v1$/m);
  assert.match(shown, /^Reason: +INTERNAL: the scheduler's disk is on fire$/m);
  assert.match(shown, /^Attempts: +3$/m);
  assert.match(shown, new RegExp(`"id": "${id}"|"containerId": "${id}"`));

  assert.deepEqual(await engine.gantry(["dead", "retry", letter]), { code: 0, stdout: `${letter}\n`, stderr: "" });
  await eventually("the end of the container to be known", async () => (await engine.ok(["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "quiet"])) === "exited 0", 20_000);
  assert.equal((await engine.gantry(["dead", "ls", "-q"])).stdout, "");
  const again = await engine.gantry(["dead", "retry", letter]);
  assert.deepEqual([again.code, again.stderr], [1, `Error response from daemon: no such dead letter: ${letter}\n`]);
  assert.equal((await engine.gantry(["dead", "rm", "zzz"])).code, 1);
  assert.equal((await engine.gantry(["dead", "retry"])).code, 1);
  await engine.ok(["rm", "quiet"]);
});
