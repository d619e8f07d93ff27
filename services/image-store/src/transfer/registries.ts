import { fail } from "@gantry/contracts";
import type { Clock } from "@gantry/kernel";
import { connectRegistry, type Credentials, type RegistryClient, type RegistryPolicy } from "@gantry/registry-client";

const MAX_AUTH_BYTES = 64 * 1024;

/** Docker's `X-Registry-Auth`: base64url of JSON. Absent or empty: null. Throws INVALID. */
export function parseRegistryAuth(header: string | undefined): Credentials | null {
  if (header === undefined || header === "") return null;
  if (header.length > MAX_AUTH_BYTES) throw fail("TOO_LARGE", "X-Registry-Auth is too large");
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(Buffer.from(header, "base64url").toString("utf8")) as Record<string, unknown>;
  } catch (cause) {
    throw fail("INVALID", "invalid X-Registry-Auth header", { cause });
  }
  if (value === null || typeof value !== "object") throw fail("INVALID", "invalid X-Registry-Auth header");
  const text = (name: string) => (typeof value[name] === "string" ? value[name] : "");
  let username = text("username"), password = text("password");
  if (username === "" && text("auth") !== "") {
    const pair = Buffer.from(text("auth"), "base64").toString("utf8");
    const colon = pair.indexOf(":");
    if (colon > 0) [username, password] = [pair.slice(0, colon), pair.slice(colon + 1)];
  }
  const credentials: Credentials = { username, password, identityToken: text("identitytoken"), registryToken: text("registrytoken") };
  return Object.values(credentials).every((part) => part === "") ? null : credentials;
}

/** `domain=url` lines of the configuration. Throws INVALID. */
export function parseEndpoints(lines: Readonly<Record<string, string>>): Record<string, string> {
  for (const [domain, url] of Object.entries(lines)) {
    if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) throw fail("INVALID", `registry endpoint of ${domain} is no http or https URL`);
  }
  return { ...lines };
}

export type Connect = (domain: string, credentials: Credentials | null, signal: AbortSignal) => Promise<RegistryClient>;

export function connector(policy: RegistryPolicy, clock: Clock): Connect {
  return (domain, credentials, signal) => connectRegistry(domain, { credentials, policy, clock, signal });
}
