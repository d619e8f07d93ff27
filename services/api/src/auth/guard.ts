import type { IncomingMessage, ServerResponse } from "node:http";
import type { Bus } from "@gantry/bus";
import { fail, newToken, parseToken, type Role, sessionCreate } from "@gantry/contracts";
import type { Clock, GantryError, Logger } from "@gantry/kernel";
import { type Identity, requireRole, requireSessionMethod, SOCKET } from "../domain/access.ts";
import { type Credential, credentialOf, sessionCookie } from "../domain/credential.ts";
import { checkBrowser } from "../domain/host.ts";
import { LoginLimit } from "../domain/login-limit.ts";
import { peerOf, type TcpPeer } from "../server/peer.ts";
import { identityOf, setIdentity } from "./identity.ts";
import { OpenRequests } from "./open-requests.ts";
import { TokenVerifier } from "./token-verifier.ts";

/** How long a browser stays logged in. */
const SESSION_MS = 12 * 3_600_000;

type Ports = { readonly bus: Pick<Bus, "call" | "send" | "subscribe">; readonly clock: Clock; readonly logger: Logger };

/** Who may come in, and to what. */
export class Guard implements AsyncDisposable {
  readonly #ports: Ports;
  readonly #limit = new LoginLimit();
  readonly #open: OpenRequests;
  readonly #tokens: TokenVerifier;

  private constructor(ports: Ports, open: OpenRequests, tokens: TokenVerifier) {
    this.#ports = ports;
    this.#open = open;
    this.#tokens = tokens;
  }

  static async open(ports: Ports): Promise<Guard> {
    const requests = new OpenRequests();
    return new Guard(ports, requests, await TokenVerifier.open(ports, (id) => requests.cut(id)));
  }

  /** Throws FORBIDDEN where a web page of another site sends the request. */
  checkOrigin(request: IncomingMessage): void {
    const peer = this.#peer(request);
    if (peer !== null) checkBrowser(request.method ?? "GET", request.headers, peer);
  }

  /**
   * Finds out who sends a request, and remembers it (`identityOf`). At once on the unix socket. Throws UNAUTHORIZED without a login or
   * with a wrong one, TOO_MANY_REQUESTS after many wrong ones, UNAVAILABLE where nobody can tell.
   */
  identify(request: IncomingMessage, response: ServerResponse): Identity | Promise<Identity> {
    const peer = this.#peer(request);
    if (peer === null) {
      setIdentity(request, SOCKET);
      return SOCKET;
    }
    return this.#login(peer, credentialOf(request.headers, peer.port)).then((identity) => {
      requireSessionMethod(identity, request.method ?? "GET", request.headers.origin);
      setIdentity(request, identity);
      if (identity.id !== null) this.#open.add(identity.id, request, response);
      return identity;
    });
  }

  /** Throws FORBIDDEN where the one who sent this request has less than the role. */
  authorize(request: IncomingMessage, needed: Role): void {
    requireRole(identityOf(request), needed);
  }

  /** A new browser session for the token `text`: the value of its `Set-Cookie`. Throws as {@link identify}. */
  async openSession(request: IncomingMessage, text: string): Promise<string> {
    const { bus, clock } = this.#ports;
    const peer = this.#peer(request);
    if (peer === null) throw fail("INVALID", "on the unix socket there are no sessions");
    const { id } = await this.#login(peer, { by: "token", text });
    const session = newToken();
    const { expires } = await bus.call(sessionCreate, {
      id: session.id, hash: session.hash, token: id ?? "", expires: new Date(clock.now() + SESSION_MS).toISOString(),
    });
    return sessionCookie(peer.port, session.text, { seconds: (Date.parse(expires) - clock.now()) / 1000, secure: peer.secure });
  }

  /** The value of `Set-Cookie` that ends a session in the browser. */
  endedCookie(request: IncomingMessage): string | null {
    const peer = this.#peer(request);
    return peer === null ? null : sessionCookie(peer.port, "", { seconds: 0, secure: peer.secure });
  }

  /** Null: the unix socket. */
  #peer(request: IncomingMessage): TcpPeer | null {
    const peer = peerOf(request.socket);
    if (peer === undefined) throw fail("FORBIDDEN", "the request came over no listener of this server");
    return peer.kind === "unix" ? null : peer;
  }

  async #login(peer: TcpPeer, credential: Credential | null): Promise<Identity> {
    const { clock } = this.#ports;
    if (credential === null) {
      const { certificate } = peer;
      if (certificate !== null && "refused" in certificate) throw unauthorized(`the client certificate is not accepted: ${certificate.refused}`);
      if (certificate !== null) {
        const { name, role, validTo } = certificate;
        if (validTo < clock.now()) throw unauthorized("the client certificate has expired");
        return { by: "certificate", name, role, id: null };
      }
      throw unauthorized("log in with a token: Authorization: Bearer gantry_… (gantry token create makes one)");
    }
    const claim = parseToken(credential.text);
    const waitMs = claim !== null && this.#tokens.knows(claim) ? 0 : this.#limit.waitMs(peer.address, clock.now());
    if (waitMs > 0) throw fail("TOO_MANY_REQUESTS", "too many wrong logins from this address: wait a moment", { details: { retryAfterMs: waitMs } });
    const record = claim === null ? null : await this.#tokens.verify(claim);
    if (claim === null || record === null || record.session !== (credential.by === "session")) {
      this.#limit.failed(peer.address, clock.now());
      throw unauthorized(credential.by === "session" ? "the browser session has ended: open the dashboard with a token again" : "the token is not valid: it is wrong, expired or was removed", "invalid_token");
    }
    return { by: credential.by, name: record.name, role: record.role, id: claim.id };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tokens[Symbol.asyncDispose]();
  }
}

function unauthorized(message: string, error?: string): GantryError {
  return fail("UNAUTHORIZED", message, { details: { challenge: error === undefined ? "Bearer" : `Bearer error="${error}"` } });
}
