import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { fail } from "@gantry/contracts";
import type { GantryError } from "@gantry/kernel";
import { isLoopbackHeader } from "./address.ts";
import { describeIdentity, identityOf, isAllowed, type Allowed, type Identity } from "./identity.ts";

interface Caller { readonly identity: Identity | null; readonly validTo: number }

const callers = new WeakMap<TLSSocket, Caller>();

/** Whom the certificate of a TLS connection is for; null where it has none that was verified and is good now. */
export function callerOf(socket: Socket): Identity | null {
  if (!isTls(socket) || !socket.authorized) return null;
  const { identity, validTo } = examine(socket);
  return validTo < Date.now() ? null : identity;
}

/**
 * Why a request is refused; null: it is not. A unix socket is guarded by its mode; over TLS the caller's certificate, which the
 * handshake has verified, must be for one of `allowed`; in the clear, which only loopback is, the `Host` header must be loopback's,
 * against rebinding of names.
 */
export function refusal(request: IncomingMessage, allowed: readonly Allowed[]): GantryError | null {
  const { socket } = request;
  if (!isTls(socket)) {
    if (socket.remoteAddress === undefined || isLoopbackHeader(request.headers.host)) return null;
    return fail("FORBIDDEN", "the Host header is not that of a loopback address");
  }
  if (!socket.authorized) return fail("UNAUTHORIZED", `a certificate of this fleet is needed: ${String(socket.authorizationError)}`);
  const { identity, validTo } = examine(socket);
  // Connections may outlive what was verified when they began.
  if (validTo < Date.now()) return fail("UNAUTHORIZED", `the caller's certificate has expired (${new Date(validTo).toISOString()})`);
  if (identity !== null && isAllowed(identity, allowed)) return null;
  return fail("FORBIDDEN", `the caller's certificate is for ${identity === null ? "no service or node" : describeIdentity(identity)}, expected ${allowed.map(describeIdentity).join(" or ")}`);
}

function examine(socket: TLSSocket): Caller {
  let caller = callers.get(socket);
  if (caller === undefined) {
    const certificate = socket.getPeerX509Certificate();
    caller = { identity: identityOf(certificate?.subjectAltName), validTo: certificate?.validToDate.getTime() ?? 0 };
    callers.set(socket, caller);
  }
  return caller;
}

function isTls(socket: Socket): socket is TLSSocket {
  return (socket as Partial<TLSSocket>).encrypted === true;
}
