import { Command } from "commander";
import { rm } from "node:fs/promises";
import { runningPid } from "../embedded/pid-file.ts";
import { openState, stateDirOf } from "../state.ts";
import { existsSync } from "node:fs";

export function down(root: string): Command {
  return new Command("down").description("stop the services and remove containers, mounts, networks and cgroups without trace; images and volumes stay")
    .option("--state-dir <dir>", "which; default .gantry, or GANTRY_STATE_DIR")
    .option("--purge", "remove images, volumes and the state directory too")
    .action(async (options: { stateDir?: string; purge?: boolean }) => {
      const dir = stateDirOf(options.stateDir, root);
      if (!existsSync(dir)) return;
      const state = openState(dir);
      await endServices(state.path("run", "gantry.pid"));
      const { removeEverything } = await import("../embedded/remove.ts"); // the client need not load the services
      await removeEverything(state);
      if (options.purge) await rm(dir, { recursive: true, force: true });
    });
}

/** Ends the process that runs the services, as Ctrl-C does; waits until it is gone. */
async function endServices(pidFile: string): Promise<void> {
  const pid = runningPid(pidFile);
  if (pid === null) return;
  process.kill(pid, "SIGTERM");
  while (runningPid(pidFile) === pid) await new Promise((r) => setTimeout(r, 20));
}
