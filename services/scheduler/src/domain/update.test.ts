import assert from "node:assert/strict";
import { test } from "node:test";
import { checkHostConfig, readHostConfig, swapOf } from "./host-config.ts";
import type { Json } from "./read.ts";
import { updatedHostConfig } from "./update.ts";

function host(body: Json) {
  const config = readHostConfig(body);
  checkHostConfig(config);
  config.MemorySwap = swapOf(config);
  return config;
}

const MB = 1024 * 1024;

test("an update changes what it gives, and leaves the rest as it is", () => {
  const before = host({ Memory: 64 * MB, CpuShares: 512, PidsLimit: 10, Binds: ["/a:/b"], RestartPolicy: { Name: "on-failure", MaximumRetryCount: 3 } });
  assert.equal(before.MemorySwap, 128 * MB);
  // The docker command sends every field, those that were not given as 0, "" or null.
  const cli = { CpuShares: 0, Memory: 32 * MB, MemorySwap: 0, CpusetCpus: "", PidsLimit: null, RestartPolicy: { Name: "", MaximumRetryCount: 0 } };
  assert.deepEqual(updatedHostConfig(before, cli), { ...before, Memory: 32 * MB });
  assert.deepEqual(updatedHostConfig(before, { PidsLimit: -1, NanoCpus: 5e8, BlkioWeight: 300, CpusetCpus: "0" }), { ...before, PidsLimit: -1, NanoCpus: 5e8, BlkioWeight: 300, CpusetCpus: "0" });
  assert.deepEqual(updatedHostConfig(before, { RestartPolicy: { Name: "always" } }).RestartPolicy, { Name: "always", MaximumRetryCount: 0 });
  assert.deepEqual(updatedHostConfig(before, { Binds: ["/c:/d"], Privileged: true }), before, "what cannot be updated stays");
});

test("an update that contradicts what is there is refused in Docker's words", () => {
  const refused = (before: Json, body: Json, message: string) => assert.throws(() => updatedHostConfig(host(before), body), { code: "INVALID", message });
  refused({ Memory: 64 * MB }, { Memory: 256 * MB }, "Conflicting options: Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time");
  refused({}, { Memory: 64 * MB }, "Conflicting options: Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time");
  refused({ CpuQuota: 50_000 }, { NanoCpus: 1e9 }, "Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set");
  refused({ NanoCpus: 1e9 }, { CpuPeriod: 50_000 }, "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set");
  refused({}, { Memory: MB, MemorySwap: -1 }, "Minimum memory limit allowed is 6MB");
  refused({ AutoRemove: true }, { RestartPolicy: { Name: "always" } }, "Restart policy cannot be updated because AutoRemove is enabled for the container");
  refused({}, { RestartPolicy: { Name: "sometimes" } }, "invalid restart policy: unknown policy 'sometimes'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'");
  assert.equal(updatedHostConfig(host({ Memory: 64 * MB, MemorySwap: -1 }), { Memory: 256 * MB }).Memory, 256 * MB);
});
