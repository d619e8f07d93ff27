import { ZERO_TIME } from "@gantry/kernel";
import { readConfig } from "./config.ts";
import { readEndpoint } from "./endpoints.ts";
import { readHostConfig } from "./host-config.ts";
import type { Json } from "./read.ts";
import type { ContainerRecord } from "./record.ts";
import { newState } from "./state.ts";

/** A record for tests, with what they care about in `over`. */
export function record(over: Partial<Omit<ContainerRecord, "state">> & { config?: Json; hostConfig?: Json; state?: Partial<ContainerRecord["state"]> } = {}): ContainerRecord {
  const { config = {}, hostConfig = {}, state = {}, ...rest } = over;
  return {
    id: "ab".repeat(32), name: "web", created: "2026-11-24T04:16:29.123456789Z", nodeId: "n1", imageId: `sha256:${"cd".repeat(32)}`, seq: 1,
    spec: {
      config: readConfig({ Image: "busybox", Cmd: ["sh"], ...config }), hostConfig: { ...readHostConfig(hostConfig), NetworkMode: "bridge" }, mounts: [], platform: "linux",
      placement: { nodeId: "n1", rejected: [], scores: [] }, networks: [{ id: "11".repeat(32), name: "bridge", endpoint: readEndpoint({}) }],
    },
    ...rest, state: { ...newState(), ...state },
  };
}

export const started = "2026-11-24T04:17:00Z";
export const never = ZERO_TIME;
