import { Command } from "commander";
import { armFailpointsFromEnv } from "@gantry/kernel";
import { listenAddresses } from "../embedded/http-address.ts";
import { holdPidFile } from "../embedded/pid-file.ts";
import { openState, stateDirOf } from "../state.ts";

export function up(root: string): Command {
  return new Command("up").description("start every service in this process")
    .option("--state-dir <dir>", "where everything is kept; default .gantry, or GANTRY_STATE_DIR")
    .option("--socket <path>", "the socket of the Docker API; default <state-dir>/run/docker.sock")
    .option("--listen <address>", "HTTP address of API and dashboard as 127.0.0.1:2385 or https://0.0.0.0:2376, or none; default 127.0.0.1:2385 or the next free port", process.env.GANTRY_LISTEN)
    .option("--log-level <level>", "debug, info, warn or error", process.env.GANTRY_LOG_LEVEL ?? "warn")
    .action(async (options: { stateDir?: string; socket?: string; listen?: string; logLevel: string }) => {
      armFailpointsFromEnv(process.env);
      const state = openState(stateDirOf(options.stateDir, root));
      const socket = options.socket ?? process.env.GANTRY_SOCKET ?? state.path("run", "docker.sock");
      await using scope = new AsyncDisposableStack();
      holdPidFile(state.path("run", "gantry.pid"), scope);
      const { startEmbedded } = await import("../embedded/start.ts"); // the client need not load the services
      const { dashboards } = await startEmbedded({ state, socket, http: listenAddresses(options.listen), logLevel: options.logLevel }, scope);
      process.stdout.write(banner(socket, state.dir, dashboards));
      await terminated();
      process.stdout.write("Stopping the services; containers go on.\n");
    });
}

function banner(socket: string, dir: string, dashboards: readonly string[]): string {
  return [
    "Gantry is ready.",
    "",
    `DOCKER_HOST=unix://${socket}`,
    ...dashboards.map((url) => `Dashboard and HTTP API: ${url}`),
    "",
    "In another terminal:",
    `  export DOCKER_HOST=unix://${socket} DOCKER_BUILDKIT=0`,
    "  npx gantry base busybox                   # a base image, made here from Debian's packages",
    "  docker run --rm busybox echo hello",
    "  npx gantry base node && docker build -t pinger examples/pinger",
    "",
    `Ctrl-C stops the services and leaves containers running; npx gantry down --state-dir ${dir} removes them.`,
    "",
  ].join("\n");
}

function terminated(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => resolve());
  });
}
