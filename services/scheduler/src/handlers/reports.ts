import { on, type Route } from "@gantry/bus";
import { nodeContainerNotice, nodeContainerReport } from "@gantry/contracts";
import { applyState } from "../apply-state.ts";
import type { Context } from "../context.ts";
import { emitContainer } from "../docker-events.ts";
import { getContainer } from "../store/containers.ts";
import { afterState } from "./auto-remove.ts";

/** Actions that a change of state implies: published from there, once, whichever of report and reply came first. */
const IMPLIED = new Set(["start", "die", "oom", "pause", "unpause"]);

/** What nodes tell without being asked. */
export function reportRoutes(context: Context): Route[] {
  return [
    on(nodeContainerReport, async (report) => {
      const after = await context.leader.transaction(async (tx, outbox) => {
        const applied = await applyState(tx, outbox, context.clock, report.containerId, report.state, report.seq);
        if (applied !== null && report.action !== null && !IMPLIED.has(report.action)) {
          await emitContainer(outbox, context.clock, applied, report.action, report.attributes);
        }
        return applied;
      });
      if (after !== null) afterState(context, after);
      return report;
    }),

    on(nodeContainerNotice, async (notice, delivery) => {
      await context.leader.transaction(async (tx, outbox) => {
        if (!await context.database.firstSight(tx, "notices", delivery.messageId)) return;
        const record = await getContainer(tx, notice.containerId);
        if (record !== null) await emitContainer(outbox, context.clock, record, notice.action, notice.attributes);
      });
      return notice;
    }),
  ];
}
