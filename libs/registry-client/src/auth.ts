import { fail } from "@gantry/contracts";
import type { Clock } from "@gantry/kernel";
import type { Dispatcher } from "undici";
import { parseChallenges } from "./challenge.ts";
import { errorOfAnswer, readBounded } from "./errors.ts";

/** As in Docker's `X-Registry-Auth`. */
export interface Credentials {
  readonly username?: string;
  readonly password?: string;
  /** A refresh token, used instead of the password. */
  readonly identityToken?: string;
  /** A bearer token for the registry itself. */
  readonly registryToken?: string;
}

export type Send = (url: URL, options: { method: Dispatcher.HttpMethod; headers: Record<string, string>; body?: string }) => Promise<Dispatcher.ResponseData>;

const MAX_TOKEN_BYTES = 256 * 1024;
const DEFAULT_TOKEN_SECONDS = 60;
/** A token is not used in its last seconds. */
const MARGIN_MS = 5_000;

/** Answers a registry's challenges: Basic, and Bearer by the token specification (GET, or OAuth 2 POST with a refresh token). */
export class Authenticator {
  readonly #credentials: Credentials | null;
  readonly #clock: Clock;
  readonly #send: Send;
  /** True where credentials may go to a plain http token server. */
  readonly #plainAllowed: boolean;
  readonly #tokens = new Map<string, { header: string; expires: number }>();
  #basic = false;

  constructor(options: { credentials: Credentials | null; clock: Clock; send: Send; plainAllowed: boolean }) {
    this.#credentials = options.credentials;
    this.#clock = options.clock;
    this.#send = options.send;
    this.#plainAllowed = options.plainAllowed;
  }

  /** The header to send for a scope (`repository:x:pull`), as far as it is known by now. */
  header(scope: string): string | null {
    if (this.#credentials?.registryToken) return `Bearer ${this.#credentials.registryToken}`;
    const token = this.#tokens.get(scope);
    if (token !== undefined && token.expires > this.#clock.now()) return token.header;
    return this.#basic ? this.#basicHeader() : null;
  }

  /** After a 401: gets what the challenge asks for. False: there is nothing new to try. Throws what the token server answered. */
  async answer(wwwAuthenticate: string | string[] | undefined, scope: string, registry: URL): Promise<boolean> {
    const challenges = [wwwAuthenticate ?? []].flat().flatMap(parseChallenges);
    const bearer = challenges.find((challenge) => challenge.scheme === "bearer");
    if (bearer !== undefined) return this.#fetchToken(bearer.parameters, scope, registry);
    if (!challenges.some((challenge) => challenge.scheme === "basic")) return false;
    if (this.#basic || this.#basicHeader() === null) return false;
    this.#basic = true;
    return true;
  }

  #basicHeader(): string | null {
    const { username, password } = this.#credentials ?? {};
    if (!username && !password) return null;
    return `Basic ${Buffer.from(`${username ?? ""}:${password ?? ""}`).toString("base64")}`;
  }

  async #fetchToken(parameters: ReadonlyMap<string, string>, scope: string, registry: URL): Promise<boolean> {
    const realm = URL.canParse(parameters.get("realm") ?? "", registry) ? new URL(parameters.get("realm")!, registry) : null;
    if (realm === null || (realm.protocol !== "https:" && realm.protocol !== "http:")) throw fail("REGISTRY", "the registry's authentication challenge names no token server");
    if (realm.protocol === "http:" && !this.#plainAllowed) throw fail("REGISTRY", `refusing to ask ${realm.host} for a token without TLS`);
    const service = parameters.get("service") ?? "";
    const answer = this.#credentials?.identityToken ? await this.#refresh(realm, service, scope) : await this.#get(realm, service, scope);
    if (answer.statusCode !== 200) throw await errorOfAnswer(answer, `token from ${realm.host}`);
    const token = parseToken(await readBounded(answer.body, MAX_TOKEN_BYTES));
    if (token === null) throw fail("REGISTRY", `${realm.host} answered without a token`);
    this.#tokens.set(scope, { header: `Bearer ${token.text}`, expires: this.#clock.now() + token.seconds * 1000 - MARGIN_MS });
    return true;
  }

  #get(realm: URL, service: string, scope: string): Promise<Dispatcher.ResponseData> {
    const url = new URL(realm);
    if (service !== "") url.searchParams.set("service", service);
    for (const one of scope.split(" ")) if (one !== "") url.searchParams.append("scope", one);
    const basic = this.#basicHeader();
    if (this.#credentials?.username) url.searchParams.set("account", this.#credentials.username);
    return this.#send(url, { method: "GET", headers: basic === null ? {} : { authorization: basic } });
  }

  #refresh(realm: URL, service: string, scope: string): Promise<Dispatcher.ResponseData> {
    const form = new URLSearchParams({ grant_type: "refresh_token", service, scope, client_id: "gantry", refresh_token: this.#credentials!.identityToken! });
    return this.#send(realm, { method: "POST", headers: { "content-type": "application/x-www-form-urlencoded" }, body: form.toString() });
  }
}

function parseToken(text: string): { text: string; seconds: number } | null {
  let value: { token?: unknown; access_token?: unknown; expires_in?: unknown };
  try {
    value = JSON.parse(text) as typeof value;
  } catch {
    return null;
  }
  const token = value.token ?? value.access_token;
  if (typeof token !== "string" || token === "" || /[^\x21-\x7e]/.test(token)) return null;
  const seconds = typeof value.expires_in === "number" && value.expires_in > 0 ? value.expires_in : DEFAULT_TOKEN_SECONDS;
  return { text: token, seconds: Math.max(seconds, DEFAULT_TOKEN_SECONDS) };
}
