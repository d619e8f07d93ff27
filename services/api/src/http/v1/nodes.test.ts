import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { test } from "node:test";
import { on } from "@gantry/bus";
import { containerLocate, containerPlacement, dockerEvent, fail, nodeContainerTop, nodeInspect, nodeList, nodeUpdate, type NodeView } from "@gantry/contracts";
import { waitFor } from "@gantry/testkit";
import { openRig } from "../../test-rig.ts";

/** One of Docker's frames, of stdout. */
const frame = (text: string) => Buffer.concat([Buffer.from([1, 0, 0, 0, 0, 0, 0, text.length]), Buffer.from(text)]);

const ID = "ab".repeat(32);
const node = (over: Partial<NodeView> = {}): NodeView => ({
  id: "b", name: "host-b", address: "https://10.0.0.2:7070", state: "ready", since: "2026-11-24T07:00:00Z", availability: "active", registeredAt: "2026-11-24T07:00:00Z", version: "0.1.0",
  labels: { disk: "ssd" }, platform: {}, capacity: { cpus: 4, memoryBytes: 8e9, diskBytes: 1e11 }, reserved: { cpus: 0.5, memoryBytes: 1e9 },
  used: { memoryBytes: 2e9, cpuLoad: 0.7, diskFreeBytes: 5e10 }, containers: { total: 3, running: 2 }, ...over,
});

test("nodes are listed, shown and drained; a placement says why", async () => {
  await using rig = await openRig();
  const placement = {
    containerId: ID, name: "web", nodeId: "b", decidedAt: "2026-11-24T07:00:00Z", rejected: [{ nodeId: "a", filter: "volume", reason: "volume data is on node b" }],
    scores: [{ nodeId: "b", score: -0.5, parts: { spread: -1, image: 0.2 } }],
  };
  await rig.serve([
    on(nodeList, async () => ({ nodes: [node(), node({ id: "c", state: "unreachable" })] })),
    on(nodeInspect, async ({ ref }) => { if (ref !== "b") throw fail("NO_SUCH_NODE", `node ${ref} not found`); return { node: node() }; }),
    on(nodeUpdate, async ({ availability }) => ({ node: node({ availability }) })),
    on(containerPlacement, async () => placement),
  ]);
  const { nodes } = (await rig.request("GET", "/v1/nodes")).json as { nodes: NodeView[] };
  assert.deepEqual(nodes.map(({ id, state }) => [id, state]), [["b", "ready"], ["c", "unreachable"]]);
  assert.deepEqual((await rig.request("GET", "/v1/nodes/b")).json, node());
  const missing = await rig.request("GET", "/v1/nodes/x");
  assert.deepEqual([missing.status, missing.json["code"], missing.json["detail"]], [404, "NO_SUCH_NODE", "node x not found"]);
  assert.equal((await rig.request("PATCH", "/v1/nodes/b", { body: { availability: "drain" } })).json["availability"], "drain");
  assert.equal((await rig.request("PATCH", "/v1/nodes/b", { body: { availability: "away" } })).status, 400);
  assert.deepEqual((await rig.request("GET", "/v1/containers/web/placement")).json, placement);
});

test("what waits for a node when it is lost fails; a stream that has begun goes on", async () => {
  let goOn = () => {};
  await using rig = await openRig((request, response) => {
    // The agent says nothing, except to whom it has begun to tell.
    if (!request.url!.includes("follow=1")) return;
    response.write(frame("begun"));
    goOn = () => response.end(frame("ended"));
  });
  await rig.serve([on(containerLocate, async () => ({
    id: ID, name: "web", nodeId: "b", address: rig.services, tty: false, openStdin: false, status: "running", exitCode: 0, error: "", autoRemove: false,
    startedAt: "2026-11-24T06:00:00Z", finishedAt: "0001-01-01T00:00:00Z", image: "busybox", labels: {},
  }))]);
  const over = Promise.withResolvers<void>();
  await rig.serve([on(nodeContainerTop, async () => { await over.promise; return { Titles: [], Processes: [] }; })], "b");
  const [begun] = await once(http.get({ socketPath: rig.socket, path: "/containers/web/logs?stdout=1&follow=1", agent: false }), "response") as [http.IncomingMessage];
  let output = "";
  begun.setEncoding("latin1").on("data", (chunk: string) => { output += chunk; });
  await waitFor(() => output.includes("begun"));

  const asked = Promise.all(["logs?stdout=1", "top", "archive?path=/etc"].map((path) => rig.request("GET", `/containers/web/${path}`)));
  const lost = { Type: "node" as const, Action: "update", Actor: { ID: "b", Attributes: { "state.new": "down" } }, scope: "local" as const, time: 1, timeNano: 1 };
  const telling = setInterval(() => { rig.bus.publish(dockerEvent, lost).catch(() => {}); }, 20);
  try {
    for (const reply of await asked) assert.deepEqual([reply.status, reply.message.slice(0, 24)], [503, "node b is unreachable si"]);
  } finally {
    clearInterval(telling);
    over.resolve();
  }
  goOn();
  await waitFor(() => output.endsWith("ended") && begun.complete);
});

test("what goes to an unreachable node fails at once, and says which and since when; its end can still be waited for", async () => {
  await using rig = await openRig();
  const unreachable = "node b is unreachable since 2026-11-24T07:00:00Z (12 seconds): its containers run on, and cannot be reached until it is back";
  await rig.serve([on(containerLocate, async () => ({
    id: ID, name: "web", nodeId: "b", address: rig.services, tty: false, openStdin: false, status: "exited", exitCode: 3, error: "", autoRemove: false,
    startedAt: "2026-11-24T06:00:00Z", finishedAt: "2026-11-24T06:59:00Z", image: "busybox", labels: {}, unreachable,
  }))]);
  for (const [method, path] of [["GET", "logs?stdout=1"], ["GET", "top"], ["GET", "changes"], ["GET", "stats?stream=0"], ["GET", "export"], ["GET", "archive?path=/etc"], ["POST", "exec"], ["POST", "resize?h=1&w=1"]] as const) {
    const reply = await rig.request(method, `/containers/web/${path}`, method === "POST" ? { body: { Cmd: ["true"] } } : {});
    assert.deepEqual([reply.status, reply.message], [503, unreachable], path);
  }
  assert.deepEqual(await rig.docker(["wait", "web"]), { code: 0, stdout: "3\n", stderr: "" });
});
