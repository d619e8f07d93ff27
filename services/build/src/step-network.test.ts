import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { silentLogger, systemClock, newId } from "@gantry/kernel";
import { openHostNetwork } from "@gantry/network";
import { loadNative } from "@gantry/runtime";
import { localStepNetwork } from "./step-network.ts";

test("steps get an address on a bridge of the build host, the host's network, or none", async () => {
  const instance = randomBytes(4).toString("hex");
  await using network = await openHostNetwork({ native: loadNative().net, instance, clock: systemClock, logger: silentLogger });
  try {
    const steps = await localStepNetwork(network, instance);
    const attach = (mode: string) => steps.attach({ containerId: newId(), mode, hostname: "step", extraHosts: ["db:10.1.2.3"] });
    {
      await using one = await attach("default");
      await using two = await attach("bridge");
      const [a, b] = [one.networks[0]!, two.networks[0]!];
      assert.equal(a.bridge, b.bridge);
      assert.notEqual(a.addresses[0], b.addresses[0]);
      assert.match(one.hosts, /\n10\.1\.2\.3\tdb\n/);
      assert.match(one.hosts, new RegExp(`\n${a.addresses[0]!.split("/")[0]!.replaceAll(".", "\\.")}\tstep\n`));
    }
    await using host = await attach("host");
    assert.equal(host.namespace, "host");
    await using none = await attach("none");
    assert.deepEqual([none.namespace, none.networks], ["new", []]);
    await assert.rejects(attach("mine"), { code: "INVALID" });
  } finally {
    await network.destroy();
  }
  assert.deepEqual(await network.leftovers(), []);
});
