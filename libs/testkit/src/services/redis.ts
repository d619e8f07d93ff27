import { freePort } from "./process.ts";
import { startServer, type ServerPlan } from "./server.ts";
import { infraFile } from "./settings.ts";
import type { TestService } from "./service.ts";

/** Debian's Redis (package redis-server) with infra's settings: a cache. */
export function redisServer({ home, address, port }: { home: string; address: string; port: number }): ServerPlan {
  const settings = { port: String(port), bind: address, "protected-mode": "no", dir: home, daemonize: "no", maxmemory: "64mb" };
  return {
    name: "redis",
    url: `redis://${address}:${port}`,
    programs: [{
      name: "redis", command: "redis-server", args: [infraFile("redis", "redis.conf"), ...Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value])],
      probe: { address, port, greeting: "PING\r\n", expected: "+PONG" }, stopSignal: "SIGTERM", killSignal: "SIGKILL",
    }],
    async prepare() {},
  };
}

/** Starts a Redis on loopback. */
export function startRedis(): Promise<TestService> {
  return startServer("redis", async (home) => redisServer({ home, address: "127.0.0.1", port: await freePort() }), async () => {});
}
