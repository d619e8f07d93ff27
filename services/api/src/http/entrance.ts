import { isGantryError } from "@gantry/kernel";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Guard } from "../auth/guard.ts";
import type { Route } from "./exchange.ts";
import { page } from "./page.ts";

/** What is told without a login: that somebody is there. */
export function healthRoutes(): Route[] {
  return [{ method: "GET", path: "/healthz", handle: async (x) => x.text("ok\n") }];
}

/**
 * `GET /`, the dashboard, for whoever is logged in; others get a page that says how. `/?token=…` makes a browser session, and
 * goes to `/`.
 */
export async function enter(guard: Pick<Guard, "identify" | "authorize" | "openSession">, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const token = (request.query as URLSearchParams).get("token");
  try {
    if (token !== null) {
      const cookie = await guard.openSession(request.raw, token);
      await reply.code(303).headers({ "set-cookie": cookie, location: "/", "cache-control": "no-store", "referrer-policy": "no-referrer" }).send();
      return;
    }
    await guard.identify(request.raw, reply.raw);
    guard.authorize(request.raw, "viewer");
  } catch (error) {
    const status = isGantryError(error, "UNAUTHORIZED") ? 401 : isGantryError(error, "TOO_MANY_REQUESTS") ? 429 : null;
    if (status === null || !isGantryError(error)) throw error;
    // A link on another site does not bring the cookie along, though there may be one; the page's own reload does.
    const again = token === null && request.headers["sec-fetch-site"] === "cross-site";
    await page(reply.header("www-authenticate", "Bearer"), status, { title: "Gantry: log in", refresh: again, lines: [
      token === null ? "This needs a login." : error.message,
      "Open the address that npm start prints, or make a token with gantry token create and open /?token=… with it.",
    ] });
  }
}
