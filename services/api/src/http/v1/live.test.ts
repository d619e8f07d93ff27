import assert from "node:assert/strict";
import http from "node:http";
import { after, before, test } from "node:test";
import { on } from "@gantry/bus";
import { buildList, containerRows, type ContainerRow, dockerEvent, schedulerInfo } from "@gantry/contracts";
import { waitFor } from "@gantry/testkit";
import { openRig, type Rig } from "../../test-rig.ts";

const ID = "a".repeat(64);
const row: ContainerRow = { id: ID, name: "web", image: "busybox", command: "sh", node: "n1", state: "running", health: null, exitCode: null, created: 1, since: 2, ports: [] };

let rig: Rig;
before(async () => {
  rig = await openRig();
  await rig.serve([
    on(schedulerInfo, async () => ({ containers: 1, running: 1, paused: 0, stopped: 0, nodes: [{ nodeId: "n1", hostname: "one", address: "https://10.0.0.3:7000", cpus: 2, memoryBytes: 8, alive: true, memoryUsedBytes: 3, since: "2026-11-24T07:00:00Z", availability: "drain", availableSince: "2026-11-24T08:00:00.5Z" }] })),
    on(containerRows, async () => ({ rows: [row] })),
    on(buildList, async () => ({ jobs: [], next: null })),
  ]);
});
after(async () => { await rig[Symbol.asyncDispose](); });

test("GET /v1/live: server-sent events that begin with a snapshot", async () => {
  let text = "";
  const response = await new Promise<http.IncomingMessage>((resolve, reject) => http.get({ socketPath: rig.socket, path: "/v1/live", agent: false }, resolve).on("error", reject));
  response.setEncoding("utf8").on("data", (chunk: string) => { text += chunk; });
  assert.equal(response.headers["content-type"], "text/event-stream");
  const node = { id: "n1", name: "one", address: "10.0.0.3", state: "drained", since: Date.UTC(2026, 10, 24, 8, 0, 0, 500), cpus: 2, memory: 8, memoryUsed: 3 };
  await waitFor(() => text.includes(`event: snapshot\ndata: ${JSON.stringify({ nodes: [node], containers: [row], builds: [] })}\n\n`));
  await rig.bus.publish(dockerEvent, { Type: "container", Action: "start", Actor: { ID, Attributes: {} }, scope: "local", time: 1, timeNano: 1 });
  await waitFor(() => text.includes(`event: containers\ndata: ${JSON.stringify({ changed: [row], removed: [] })}\n\n`));
  response.destroy();
});

test("the dashboard that is not built says how to build it", async () => {
  const answer = await rig.request("GET", "/");
  assert.equal(answer.status, 404);
  assert.match(answer.text, /npm start/);
  assert.match(String(answer.headers["content-security-policy"]), /default-src 'none'/);
});
