import { startPostgres } from "./postgres.ts";
import { startRabbit } from "./rabbit.ts";
import { startRedis } from "./redis.ts";
import type { TestService } from "./service.ts";

/** Where `services-runner.ts`, or someone with Docker, says that the services for tests already run. */
export const VARIABLES = { rabbit: "GANTRY_TEST_AMQP", redis: "GANTRY_TEST_REDIS", postgres: "GANTRY_TEST_POSTGRES" } as const;

export const STARTERS: Readonly<Record<keyof typeof VARIABLES, () => Promise<TestService>>> = { rabbit: startRabbit, redis: startRedis, postgres: startPostgres };

/** The URL of a service; disposing stops it if it was started here. */
export interface ServiceUrl extends AsyncDisposable {
  readonly url: string;
}

/**
 * The service of the whole test run, if there is one, else one started here. Others may use it at the same time: choose names
 * that are your own (see `uniqueName`), and do not stop it; for fault tests start your own.
 */
export const sharedRabbit = (): Promise<ServiceUrl> => shared("rabbit");
export const sharedRedis = (): Promise<ServiceUrl> => shared("redis");
export const sharedPostgres = (): Promise<ServiceUrl> => shared("postgres");

async function shared(name: keyof typeof VARIABLES): Promise<ServiceUrl> {
  const url = process.env[VARIABLES[name]];
  return url === undefined || url === "" ? await STARTERS[name]() : { url, async [Symbol.asyncDispose]() {} };
}
