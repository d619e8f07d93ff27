import { errnoOf, isGantryError, type Clock } from "@gantry/kernel";
import type { Credentials } from "./auth.ts";
import { RegistryClient } from "./client.ts";

export interface RegistryPolicy {
  /** `host[:port]` that may be spoken to without TLS or with any certificate; loopback always may. */
  readonly insecure: readonly string[];
  /** Domain of references → base URL, for registries that are reached under another name than images carry. */
  readonly endpoints: Readonly<Record<string, string>>;
}

const LOOPBACK = /^(localhost|127(?:\.\d{1,3}){3}|\[::1\])(:\d+)?$/;

/**
 * A client for the registry behind a reference's domain, once it has answered: https; for loopback and registries named as
 * insecure plain http first, then https with any certificate.
 */
export async function connectRegistry(
  domain: string, options: { credentials: Credentials | null; policy: RegistryPolicy; clock: Clock; signal?: AbortSignal },
): Promise<RegistryClient> {
  const { credentials, clock, policy, signal } = options;
  const given = policy.endpoints[domain];
  const insecure = LOOPBACK.test(domain) || policy.insecure.includes(domain);
  const candidates = given !== undefined ? [new URL(given)] : insecure ? [new URL(`http://${domain}`), new URL(`https://${domain}`)] : [new URL(`https://${domain}`)];
  let first: unknown;
  for (const url of candidates) {
    const client = new RegistryClient({ endpoint: { url, insecure: insecure || policy.insecure.includes(url.host) }, credentials, clock });
    try {
      await client.ping(signal);
      return client;
    } catch (e) {
      await client[Symbol.asyncDispose]();
      first ??= e;
      // A TLS server answers plain http with 400 or hangs up. Where nobody listens, or the registry has spoken, no other scheme helps.
      if (isGantryError(e, "UNAUTHORIZED") || signal?.aborted === true || errnoOf((e as { cause?: unknown }).cause) === "ECONNREFUSED") throw e;
    }
  }
  throw first;
}
