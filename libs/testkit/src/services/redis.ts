import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { answers, freePort, ServiceProcess } from "./process.ts";
import type { TestService } from "./service.ts";

/** Starts Debian's Redis (package redis-server), without persistence. */
export async function startRedis(): Promise<TestService> {
  const home = await mkdtemp(path.join(tmpdir(), "gantry-redis-"));
  const port = await freePort();
  let server: ServiceProcess | null = null;
  const redis: TestService = {
    url: `redis://127.0.0.1:${port}`,
    get running() { return server?.running ?? false; },
    async start() {
      if (server?.running === true) return;
      const settings = { port: String(port), bind: "127.0.0.1", dir: home, save: "", appendonly: "no", daemonize: "no", maxmemory: "64mb", "maxmemory-policy": "allkeys-lru" };
      server = new ServiceProcess({ command: "redis-server", args: Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]) });
      await server.ready("Redis (Debian package redis-server)", () => answers(port, "PING\r\n", "+PONG"));
    },
    async stop() { await server?.end("SIGTERM"); },
    async kill() { await server?.end("SIGKILL"); },
    async [Symbol.asyncDispose]() {
      await redis.kill();
      await rm(home, { recursive: true, force: true });
    },
  };
  try {
    await redis.start();
  } catch (error) {
    await redis[Symbol.asyncDispose]();
    throw error;
  }
  return redis;
}
