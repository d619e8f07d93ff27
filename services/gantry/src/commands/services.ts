import { Command } from "commander";
import { armFailpointsFromEnv } from "@gantry/kernel";

const SERVICES = {
  api: () => import("@gantry/api/main"),
  build: () => import("@gantry/build/main"),
  "image-store": () => import("@gantry/image-store/main"),
  scheduler: () => import("@gantry/scheduler/main"),
  "node-agent": () => import("@gantry/node-agent/main"),
} as const;

/**
 * One service in this process, over RabbitMQ, PostgreSQL and Redis, configured by GANTRY_* variables.
 * `gantry build` without a context is the build service; with one it is the client's (images.ts).
 */
export function serviceCommands(): Command[] {
  return Object.keys(SERVICES).filter((name) => name !== "build").map((name) => new Command(name)
    .description(`run the ${name} service in this process, configured by GANTRY_* variables`)
    .action(() => runService(name as keyof typeof SERVICES)));
}

export async function runService(name: keyof typeof SERVICES): Promise<void> {
  armFailpointsFromEnv(process.env);
  await SERVICES[name]();
}
