import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { fail } from "@gantry/contracts";
import type { GantryError } from "@gantry/kernel";
import { isLoopbackHeader } from "./address.ts";
import { describeIdentity, isAllowed, type Allowed, type Identity } from "./identity.ts";
import { expired, peerOf, type Peer } from "./peer.ts";

const peers = new WeakMap<Socket, Peer>();

/** Whom the certificate of a TLS connection is for, if it is good now; null for other connections and certificates. */
export function callerOf(socket: Socket): Identity | null {
  const peer = isTls(socket) ? examine(socket) : null;
  return peer === null || "fault" in peer || peer.validTo < Date.now() ? null : peer.identity;
}

/**
 * Why a request is refused; null: it is not. A unix socket is guarded by its mode; over TLS the caller's certificate must be for
 * one of `allow`; in the clear, which only loopback is, the `Host` header must be loopback's, against rebinding of names.
 */
export function refusal(request: IncomingMessage, allow: readonly Allowed[]): GantryError | null {
  const { socket } = request;
  if (!isTls(socket)) {
    if (socket.remoteAddress === undefined || isLoopbackHeader(request.headers.host)) return null;
    return fail("FORBIDDEN", "the Host header is not that of a loopback address");
  }
  const peer = examine(socket);
  if ("fault" in peer) return fail("UNAUTHORIZED", peer.fault);
  const now = Date.now();
  if (peer.validTo < now) return fail("UNAUTHORIZED", `the certificate of ${nameOf(socket)} (${describeIdentity(peer.identity)}) ${expired(peer.validTo, now)}`);
  if (isAllowed(peer.identity, allow)) return null;
  return fail("FORBIDDEN", `the certificate of ${nameOf(socket)} is for ${describeIdentity(peer.identity)}, expected ${allow.map(describeIdentity).join(" or ")}`);
}

function examine(socket: TLSSocket): Peer {
  let peer = peers.get(socket);
  if (peer === undefined) peers.set(socket, peer = peerOf(socket, nameOf(socket), null, Date.now()));
  return peer;
}

function nameOf(socket: Socket): string {
  return (socket.remoteAddress ?? "a caller that has gone").replace(/^::ffff:/, "");
}

function isTls(socket: Socket): socket is TLSSocket {
  return (socket as Partial<TLSSocket>).encrypted === true;
}
