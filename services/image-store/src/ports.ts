import type { Bus } from "@gantry/bus";
import type { OwnedContentStore } from "@gantry/content";
import type { Database } from "@gantry/database";
import type { DigestCache } from "@gantry/digest-cache";
import type { Credentials } from "@gantry/http";
import type { Clock, Logger } from "@gantry/kernel";
import type { Tables } from "./store/schema.ts";

export interface Ports {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Opened with {@link migrations} for the service `image-store`. */
  readonly database: Database<Tables>;
  readonly cache: DigestCache;
  /** For TLS on TCP; null: TCP is in the clear, and loopback only. */
  readonly credentials: Credentials | null;
  /** The blob directory, which this service owns. */
  readonly content: OwnedContentStore;
}
