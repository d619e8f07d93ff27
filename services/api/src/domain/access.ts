import { fail, type Role, ROLES } from "@gantry/contracts";

/** Who sends a request, and what it may do. */
export interface Identity {
  /** How it logged in: over the unix socket, with a bearer token, a browser session of one, or a client certificate. */
  readonly by: "socket" | "token" | "session" | "certificate";
  /** Of the token, or the subject of the certificate. */
  readonly name: string;
  readonly role: Role;
  /** ID of the token or session. */
  readonly id: string | null;
}

/** As whoever may open Docker's socket. */
export const SOCKET: Identity = { by: "socket", name: "", role: "admin", id: null };

/** What a route asks for: a role, or nothing at all. */
export type Need = Role | "public";

export function includes(role: Role, needed: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(needed);
}

/** Throws FORBIDDEN, naming the role that is needed, where `identity` has less. */
export function requireRole(identity: Identity, needed: Role): void {
  if (includes(identity.role, needed)) return;
  throw fail("FORBIDDEN", `${describe(identity)} has the role ${identity.role}; this needs the role ${needed}`, { details: { role: needed } });
}

/**
 * A page may read, and send with POST; everything else is for tools, which have a token of their own. That the page is the API's own
 * was checked before (host.ts).
 */
export function requireSessionMethod(identity: Identity, method: string, origin: string | undefined): void {
  if (identity.by !== "session" || method === "GET" || method === "HEAD") return;
  if (method !== "POST") throw fail("FORBIDDEN", `a browser session cannot send ${method} requests: use a token`);
  if (origin === undefined) throw fail("FORBIDDEN", "a browser session can send POST requests from the dashboard's own pages only");
}

/**
 * Steps of a build run as asked in the network of the host or of another container: what listens there takes them for its own, so that
 * this needs whoever may start such containers too.
 */
export function requireBuildNetwork(identity: Identity, networkMode: string): void {
  if (networkMode === "host" || networkMode.startsWith("container:")) requireRole(identity, "admin");
}

function describe({ by, name, id }: Identity): string {
  if (by === "certificate") return `the client certificate "${name}"`;
  return `the ${by} ${id ?? ""}${name === "" ? "" : ` ("${name}")`}`;
}
