import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { isGantryError } from "@gantry/kernel";
import { connectMonitor, monitorSocket } from "./container.ts";

test("a monitor that ends with a connection in its queue is not running", async () => {
  const dir = await mkdtemp(join(tmpdir(), "gantry-connection-"));
  try {
    const monitor = createServer();
    await new Promise<void>((resolve) => monitor.listen(monitorSocket(dir), resolve));
    const connecting = connectMonitor(dir);
    monitor.close();
    await assert.rejects(connecting, (e) => isGantryError(e, "NOT_RUNNING"));
  } finally {
    await rm(dir, { recursive: true });
  }
});
