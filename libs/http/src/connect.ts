import { connect as netConnect, isIP, type Socket } from "node:net";
import { fail } from "@gantry/contracts";
import { formatAddress, isLoopback, type Address } from "./address.ts";
import type { Credentials } from "./credentials.ts";
import { describeIdentity, identityOf, type Identity } from "./identity.ts";

/** How long a connection may take, handshake included. */
const CONNECT_MS = 10_000;
/** A peer that is silent for so long is asked whether it is still there; one that does not answer is given up after some seconds. */
export const PROBE_MS = 15_000;

export interface Destination {
  readonly address: Address;
  /** Whom to find there. */
  readonly identity: Identity;
}

/**
 * A connection to a service, ready to be written to. Over TLS the service has proved to be `identity` at this host, by a
 * certificate of our CA. Throws UNAVAILABLE, saying why; INVALID where TLS is needed and there is none.
 */
export async function connectTo({ address, identity }: Destination, credentials: Credentials | null): Promise<Socket> {
  const name = formatAddress(address);
  if (address.kind === "unix") return connected(netConnect({ path: address.path }), "connect", name);
  const { host, port, secure } = address;
  const options = { host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: PROBE_MS };
  if (!secure) {
    if (!isLoopback(host)) throw fail("INVALID", `${name} is not on loopback: services off this host are reached by https:// with certificates (GANTRY_TLS_CA, GANTRY_TLS_CERT, GANTRY_TLS_KEY)`);
    return connected(netConnect(options), "connect", name);
  }
  if (credentials === null) throw fail("INVALID", `${name} needs certificates: set GANTRY_TLS_CA, GANTRY_TLS_CERT and GANTRY_TLS_KEY`);
  const tls = await import("node:tls");
  const socket = tls.connect({
    ...options, secureContext: credentials.context(tls.createSecureContext), servername: isIP(host) === 0 ? host : "", rejectUnauthorized: true,
    checkServerIdentity: (name, certificate) => tls.checkServerIdentity(name, certificate) ?? mistaken(certificate.subjectaltname, identity),
  });
  return connected(socket, "secureConnect", name);
}

function mistaken(subjectAltName: string | undefined, expected: Identity): Error | undefined {
  const found = identityOf(subjectAltName);
  if (found === expected) return undefined;
  return new Error(`its certificate is for ${found === null ? "no service or node" : describeIdentity(found)}, expected ${describeIdentity(expected)}`);
}

function connected<S extends Socket>(socket: S, event: "connect" | "secureConnect", name: string): Promise<S> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => socket.destroy(new Error(`no answer within ${CONNECT_MS / 1000} s`)), CONNECT_MS);
    const failed = (cause?: Error): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(fail("UNAVAILABLE", `cannot reach the service at ${name}${cause === undefined ? "" : `: ${cause.message}`}`, cause === undefined ? {} : { cause }));
    };
    const closed = (): void => failed();
    socket.once("error", failed).once("close", closed);
    socket.once(event, () => {
      clearTimeout(timer);
      socket.off("error", failed).off("close", closed);
      resolve(socket);
    });
  });
}
