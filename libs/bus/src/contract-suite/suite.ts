import { after, before, describe } from "node:test";
import type { Bus } from "../port.ts";
import { backPressureTests } from "./back-pressure.ts";
import { callTests } from "./calls.ts";
import { deadLetterTests } from "./dead-letters.ts";
import { errorTests } from "./errors.ts";
import { eventTests } from "./events.ts";
import { jobTests } from "./jobs.ts";
import { lifetimeTests } from "./lifetime.ts";
import type { BusHarness, Suite } from "./support.ts";
import { tracingTests } from "./tracing.ts";

/** What every implementation of {@link Bus} does. `open` is called once. */
export function busContractSuite(name: string, open: () => Promise<BusHarness>): void {
  describe(`bus: ${name}`, { timeout: 120_000 }, () => {
    let harness: BusHarness;
    let a: Bus;
    let b: Bus;
    const suite: Suite = { get harness() { return harness; }, get a() { return a; }, get b() { return b; } };
    before(async () => {
      harness = await open();
      [a, b] = await Promise.all([harness.open("a"), harness.open("b")]);
    });
    after(async () => {
      await a[Symbol.asyncDispose]();
      await b[Symbol.asyncDispose]();
      await harness[Symbol.asyncDispose]();
    });
    for (const tests of [callTests, errorTests, jobTests, eventTests, deadLetterTests, backPressureTests, lifetimeTests, tracingTests]) tests(suite);
  });
}
