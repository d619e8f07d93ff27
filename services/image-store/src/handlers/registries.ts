import { on, type Route } from "@gantry/bus";
import { fail, registryLogin } from "@gantry/contracts";
import { isGantryError } from "@gantry/kernel";
import { DEFAULT_DOMAIN } from "@gantry/oci";
import type { Connect } from "../transfer/registries.ts";

const LOGIN_MS = 25_000;

/** What other services ask of other registries, but for the transfers. */
export function registryQueries(connect: Connect): Route[] {
  return [
    on(registryLogin, async ({ serverAddress, username, password, identityToken }, { signal }) => {
      const domain = domainOf(serverAddress);
      try {
        await using _client = await connect(domain, { username, password, identityToken }, AbortSignal.any([signal, AbortSignal.timeout(LOGIN_MS)]));
      } catch (cause) {
        if (isGantryError(cause, "UNAUTHORIZED")) throw fail("UNAUTHORIZED", `login attempt to ${domain} failed with status: 401 Unauthorized`, { cause });
        throw cause;
      }
      return { identityToken: "" };
    }),
  ];
}

/** `localhost:5000`, `https://r.example/v2/` and Docker's own index address (or nothing): the domain that references have. Throws INVALID. */
export function domainOf(serverAddress: string): string {
  const bare = serverAddress.replace(/^https?:\/\//, "").replace(/\/.*$/, "");
  if (bare === "" || bare === `index.${DEFAULT_DOMAIN}`) return DEFAULT_DOMAIN;
  if (!/^[a-zA-Z0-9.-]+(:[0-9]{1,5})?$|^\[[0-9a-fA-F:]+\](:[0-9]{1,5})?$/.test(bare)) throw fail("INVALID", `invalid registry address: "${serverAddress.slice(0, 128)}"`);
  return bare;
}
