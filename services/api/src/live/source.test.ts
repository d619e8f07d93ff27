import assert from "node:assert/strict";
import { test } from "node:test";
import { createLocalBus, on } from "@gantry/bus";
import { buildGet, fail } from "@gantry/contracts";
import { silentLogger, systemClock as clock } from "@gantry/kernel";
import { busSource } from "./source.ts";

test("a build that is not kept any more has no row, and is no fault", async () => {
  await using bus = createLocalBus({ service: "test", clock, logger: silentLogger });
  await using _build = await bus.serve("build", [on(buildGet, async ({ id }) => { throw fail("NO_SUCH_BUILD", `No such build: ${id}`); })]);
  assert.deepEqual(await busSource({ bus, clock }).builds(["a".repeat(64)]), []);
});
