import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { holdPidFile, runningPid } from "./pid-file.ts";

test("one process holds a state directory, and lets go of it", async () => {
  const dir = mkdtempSync(join(tmpdir(), "gantry-pid-"));
  try {
    const file = join(dir, "gantry.pid");
    assert.equal(runningPid(file), null);
    const scope = new AsyncDisposableStack();
    holdPidFile(file, scope);
    assert.equal(runningPid(file), process.pid);
    assert.throws(() => holdPidFile(file, scope), { code: "CONFLICT" });
    await scope.disposeAsync();
    assert.equal(runningPid(file), null);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test("a number that another process has now does not count", () => {
  const dir = mkdtempSync(join(tmpdir(), "gantry-pid-"));
  try {
    writeFileSync(join(dir, "gantry.pid"), `${process.pid} 1\n`);
    assert.equal(runningPid(join(dir, "gantry.pid")), null);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
