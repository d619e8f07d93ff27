import assert from "node:assert/strict";
import { test } from "node:test";
import { on } from "@gantry/bus";
import { buildRun, fail, nodeContainerNotice, type Role } from "@gantry/contracts";
import { systemClock } from "@gantry/kernel";
import { waitFor } from "@gantry/testkit";
import { openRig, type Rig } from "../../test-rig.ts";
import { PaperTokens } from "../../testing/paper-tokens.ts";

const job = { id: "a".repeat(64) };
const notice = (text: string) => ({ nodeId: "n1", containerId: "b".repeat(64), action: "oom" as const, attributes: { text } });

/** A job and two events that nobody can handle, until `mend` is called. */
async function withDeadLetters(rig: Rig): Promise<{ mend: () => void; handled: string[] }> {
  let broken = true;
  const handled: string[] = [];
  await rig.bus.work(on(buildRun, async (body) => { if (broken) throw fail("BUILD_FAILED", "the disk\nis on fire"); handled.push("job"); return body; }));
  await rig.bus.subscribe([on(nodeContainerNotice, async (body) => { if (broken) throw new Error("no such thing"); handled.push(body.attributes["text"] ?? ""); return body; })]);
  await rig.bus.send(buildRun, job, { key: "the-key" });
  for (const text of ["x", "y".repeat(100_000)]) await rig.bus.publish(nodeContainerNotice, notice(text));
  await waitFor(async () => (await rig.bus.deadLetters.list()).length === 3);
  return { mend: () => { broken = false; }, handled };
}

interface Letter { id: string; queue: string; message: string; messageId: string; code: string; reason: string; attempts: number; firstFailedAt: string; lastFailedAt: string; service: string; bytes: number }
const lettersOf = (json: Record<string, unknown>) => json["letters"] as Letter[];

test("dead letters are listed by queue, shown with a bounded body, retried one by one and all together, and removed", async () => {
  await using rig = await openRig();
  const { mend, handled } = await withDeadLetters(rig);
  const all = await rig.request("GET", "/v1/dead");
  assert.deepEqual([all.status, lettersOf(all.json).length, all.json["more"]], [200, 3, false]);
  const some = await rig.request("GET", "/v1/dead?limit=2");
  assert.deepEqual([lettersOf(some.json).length, some.json["more"]], [2, true]);
  assert.deepEqual(lettersOf((await rig.request("GET", "/v1/dead?queue=node")).json), []);

  const [letter] = lettersOf((await rig.request("GET", `/v1/dead?queue=job.${buildRun.name}`)).json);
  assert.deepEqual([letter!.message, letter!.messageId, letter!.code, letter!.reason, letter!.attempts, letter!.service], [buildRun.name, "the-key", "BUILD_FAILED", "the disk\nis on fire", 3, "api-test"]);
  assert.ok(Date.parse(letter!.firstFailedAt) <= Date.parse(letter!.lastFailedAt));
  const shown = await rig.request("GET", `/v1/dead/${letter!.id}`);
  assert.deepEqual([shown.json["body"], shown.json["truncated"]], [JSON.stringify(job), false]);
  assert.equal(shown.json["bytes"], JSON.stringify(job).length);
  const events = lettersOf((await rig.request("GET", "/v1/dead?queue=subscriber")).json);
  const long = await rig.request("GET", `/v1/dead/${events[1]!.id}?queue=subscriber`);
  assert.deepEqual([String(long.json["body"]).length, long.json["truncated"]], [64 * 1024, true]);
  assert.ok(Number(long.json["bytes"]) > 100_000);

  mend();
  const retried = await rig.request("POST", `/v1/dead/${letter!.id}/retry`);
  assert.deepEqual([retried.status, retried.json["id"]], [202, letter!.id]);
  await waitFor(() => handled.length === 1);
  assert.deepEqual(handled, ["job"]);
  const gone = await rig.request("POST", `/v1/dead/${letter!.id}/retry`);
  assert.deepEqual([gone.status, gone.json["code"], gone.json["detail"]], [404, "NOT_FOUND", `no such dead letter: ${letter!.id}`]);
  assert.equal((await rig.request("DELETE", `/v1/dead/${events[1]!.id}`)).status, 204);
  assert.deepEqual((await rig.request("POST", "/v1/dead/retry?queue=subscriber")).json, { retried: 1, kept: 0, reason: null });
  await waitFor(() => handled.length === 2);
  assert.deepEqual(handled, ["job", "x"]);
  assert.deepEqual((await rig.request("GET", "/v1/dead")).json, { letters: [], more: false });
});

test("what is no ID, queue or limit is refused; others than admins are, too", async () => {
  await using rig = await openRig();
  for (const path of ["/v1/dead/../x", "/v1/dead/xyz", "/v1/dead?limit=0", "/v1/dead?limit=1001", "/v1/dead?queue=a%20b", "/v1/dead?queue="]) {
    const { status } = await rig.request("GET", path);
    assert.ok(status === 400 || status === 404, `${path}: ${status}`);
  }
  const tokens = new PaperTokens(systemClock);
  await rig.serve(tokens.routes());
  const as = (role: Role) => ({ tcp: true, headers: { authorization: `Bearer ${tokens.add({ role }).text}` } });
  assert.equal((await rig.request("GET", "/v1/dead", as("builder"))).status, 403);
  assert.equal((await rig.request("GET", "/v1/dead", as("admin"))).status, 200);
  const document = (await rig.request("GET", "/docs/json")).json["paths"] as Record<string, object>;
  for (const path of ["/v1/dead", "/v1/dead/{id}", "/v1/dead/{id}/retry", "/v1/dead/retry"]) assert.ok(document[path], path);
});
