import { createHash } from "node:crypto";
import { Type as T } from "typebox";

/** A field of an environment: what tells the bridges, links and tables of one Gantry on a host from another's. */
export const HostInstance = T.String({ default: "", pattern: "^(?:[0-9a-f]{8})?$", description: "8 hex digits that the names of bridges and firewall tables on this host carry; default: made of this process's name" });

/** The instance that was given, else one that is always the same for this owner: `node n1`, `build w1`. */
export function instanceOf(given: string, owner: string): string {
  return given === "" ? createHash("sha256").update(owner).digest("hex").slice(0, 8) : given;
}
