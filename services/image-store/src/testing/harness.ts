import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { on, openBus, type Bus } from "@gantry/bus";
import { containersUsingImage, dockerEvent, type DockerEvent } from "@gantry/contracts";
import { DiskContentStore } from "@gantry/content";
import { openDatabase } from "@gantry/database";
import { openDigestCache } from "@gantry/digest-cache";
import type { Credentials } from "@gantry/http";
import { silentLogger, systemClock, type Clock } from "@gantry/kernel";
import { request } from "undici";
import type { ImageUse } from "../domain/removal.ts";
import { Config, migrations, start, type Tables } from "../module.ts";
import { Default } from "typebox/value";

export interface TestStore extends AsyncDisposable {
  readonly bus: Bus;
  readonly content: DiskContentStore;
  readonly dir: string;
  /** `http://127.0.0.1:port` */
  readonly url: string;
  /** `127.0.0.1:port` */
  readonly address: string;
  /** What the scheduler answers. */
  uses: ImageUse[];
  readonly events: DockerEvent[];
  /** Waits until so many events of this action have come. */
  seen(action: string, count?: number): Promise<DockerEvent[]>;
  /** Stops the service and starts it again over the same state. */
  restart(): Promise<void>;
}

/** The whole service over real parts: SQLite (or `database`) and blobs in a temporary directory, a local bus, loopback HTTP. */
export async function startStore(options: { config?: Partial<Config>; clock?: Clock; dir?: string; credentials?: Credentials; database?: { url: string; service: string } } = {}): Promise<TestStore> {
  const dir = options.dir ?? await mkdtemp(join(tmpdir(), "gantry-image-store-"));
  const clock = options.clock ?? systemClock;
  const outer = new AsyncDisposableStack();
  if (options.dir === undefined) outer.defer(() => rm(dir, { recursive: true, force: true }));
  const bus = outer.use(await openBus("local:", { service: "image-store-test", clock, logger: silentLogger }));
  const content = await DiskContentStore.open({ dir: join(dir, "blobs") });
  const events: DockerEvent[] = [];
  let wake = (): void => {};
  outer.use(await bus.subscribe([on(dockerEvent, async (event) => { events.push(event); wake(); return event; })]));
  let port = "0";
  const run = async (): Promise<{ scope: AsyncDisposableStack; address: string }> => {
    const scope = new AsyncDisposableStack();
    const database = scope.use(await openDatabase<Tables>(options.database?.url ?? `sqlite:${join(dir, "db")}`, { service: options.database?.service ?? "image-store", migrations }));
    const cache = scope.use(await openDigestCache("memory:"));
    const config = { ...Default(Config, {}) as Config, listen: [`127.0.0.1:${port}`], ...options.config };
    const { addresses } = await start(config, { bus, clock, logger: silentLogger, database, cache, content, credentials: options.credentials ?? null }, scope);
    return { scope, address: addresses[0]!.replace(/^https?:\/\//, "") };
  };
  let running = await run();
  port = running.address.split(":")[1]!;
  const store: TestStore = {
    bus, content, dir, events, uses: [],
    url: `${options.credentials === undefined ? "http" : "https"}://${running.address}`,
    address: running.address,
    async seen(action, count = 1) {
      for (;;) {
        const found = events.filter((event) => event.Action === action);
        if (found.length >= count) return found;
        await new Promise<void>((resolve) => { wake = resolve; });
      }
    },
    async restart() {
      await running.scope.disposeAsync();
      running = await run();
    },
    async [Symbol.asyncDispose]() {
      await running.scope.disposeAsync();
      await outer.disposeAsync();
    },
  };
  outer.use(await bus.serve("scheduler", [on(containersUsingImage, async ({ imageIds }) => ({
    uses: store.uses.filter((use) => imageIds.includes(use.imageId)).map((use) => ({ ...use, imageRef: "" })),
  }))]));
  return store;
}

/** Stores a blob over HTTP and answers its digest and size. */
export async function putBlob(store: TestStore, data: Uint8Array): Promise<{ digest: string; size: number }> {
  const { statusCode, body } = await request(`${store.url}/v1/blobs`, { method: "POST", body: Buffer.from(data) });
  if (statusCode !== 201) throw new Error(`status ${statusCode}: ${await body.text()}`);
  return await body.json() as { digest: string; size: number };
}
