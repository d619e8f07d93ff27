import { createHash } from "node:crypto";
import { join } from "node:path";
import { silentLogger } from "@gantry/kernel";
import { HttpClient, type Target } from "../client.ts";
import { listen, type Handlers, type ListenOptions } from "../listen.ts";
import { Fleet } from "./fleet.ts";

export type Kind = "unix" | "plain" | "tls";

export interface Rig extends AsyncDisposable {
  readonly target: Target;
  readonly client: HttpClient;
  readonly fleet: Fleet;
  /** Ends the server and starts it again at the same address. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** A server with `handlers`, which is node a to its callers, and a client, which is the API. */
export async function openRig(kind: Kind, handlers: Handlers, options: Partial<ListenOptions> = {}): Promise<Rig> {
  await using outer = new AsyncDisposableStack();
  const fleet = outer.use(await Fleet.make());
  const credentials = kind === "tls" ? await fleet.credentials("node/a") : null;
  if (credentials !== null) outer.use(credentials);
  let address = kind === "unix" ? `unix:${join(fleet.dir, "x.sock")}` : "127.0.0.1:0";
  let scope = new AsyncDisposableStack();
  const begin = async (): Promise<string> => {
    const [bound] = await listen({ addresses: [address], credentials, allow: () => ["service/api"], logger: silentLogger, ...options }, handlers, scope);
    address = bound!.replace(/^https?:\/\//, "");
    return bound!;
  };
  const target: Target = { address: await begin(), identity: "node/a" };
  outer.defer(() => scope.disposeAsync());
  const client = outer.use(kind === "tls" ? await fleet.client("service/api") : new HttpClient());
  const stop = async (): Promise<void> => { await scope.disposeAsync(); };
  const owned = outer.move();
  return {
    target, client, fleet, stop,
    async restart() {
      await stop();
      scope = new AsyncDisposableStack();
      await begin();
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

export const sha = (data: Buffer): string => createHash("sha256").update(data).digest("hex");
/** Not all alike, so that what is lost or doubled shows. */
export const noise = (size: number): Buffer => {
  const data = Buffer.alloc(size);
  for (let i = 0, x = 1; i + 4 <= size; i += 4) data.writeUInt32LE(x = (Math.imul(x, 1664525) + 1013904223) >>> 0, i);
  return data;
};
