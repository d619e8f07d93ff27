import { on, type Route } from "@gantry/bus";
import { fail, nodeExecCreate, nodeExecInspect, nodeExecResize } from "@gantry/contracts";
import type { Agent } from "../context.ts";
import { readExecConfig } from "../domain/exec-config.ts";
import { createExec, inspectExec } from "../execs.ts";

export function execRoutes(agent: Agent): Route[] {
  return [
    on(nodeExecCreate, async ({ execId, containerId, config }) => {
      await createExec(agent, execId, containerId, readExecConfig(config));
      return { execId };
    }),
    on(nodeExecInspect, async ({ execId }) => ({ exec: inspectExec(agent.execs.get(execId)) })),
    on(nodeExecResize, async ({ execId, height, width }) => {
      const { process, exitCode } = agent.execs.get(execId);
      if (!process || exitCode !== null) throw fail("NOT_RUNNING", `exec ${execId} is not running`);
      await process.resize({ height, width });
      return {};
    }),
  ];
}
