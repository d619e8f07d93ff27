import type { Role } from "@gantry/contracts";

/** The other end of a connection, as the listener that took it knows it. */
export type Peer = { readonly kind: "unix" } | TcpPeer;

export interface TcpPeer {
  readonly kind: "tcp";
  /** Where it comes from. */
  readonly address: string;
  /** The port it came to. */
  readonly port: number;
  readonly secure: boolean;
  /** The client certificate, where one came: its login, or why it is none. */
  readonly certificate: { readonly name: string; readonly role: Role; readonly validTo: number } | { readonly refused: string } | null;
  /** Whether the server goes by this name or address (no port, no brackets). */
  serves(host: string): boolean;
}

const peers = new WeakMap<object, Peer>();

/** Told once, when the connection is made: a socket that was closed no longer says whether it was of TCP. */
export function setPeer(socket: object, peer: Peer): void {
  peers.set(socket, peer);
}

/** Undefined for a socket of no listener: such a request is not to be answered. */
export function peerOf(socket: object): Peer | undefined {
  return peers.get(socket);
}
