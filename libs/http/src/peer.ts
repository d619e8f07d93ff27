import type { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import type { TLSSocket } from "node:tls";
import { identitiesOf, type Identity } from "./identity.ts";

/** The other side of a connection, as its certificate proves it; or what is wrong with that certificate. */
export type Peer = { readonly identity: Identity; readonly validTo: number } | { readonly fault: string };

const DAY_MS = 86_400_000;

/**
 * Reads the other side's certificate once the handshake is over. Listeners and clients of ours let handshakes end whatever the
 * certificate is, and judge it here, so that each side can say what is wrong: nothing may be read or written before.
 * `who` names the other side in messages; `host` is what its certificate must name, null for a caller.
 */
export function peerOf(socket: TLSSocket, who: string, host: string | null, now: number): Peer {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return { fault: `${who} shows no certificate` };
  const identities = identitiesOf(certificate.subjectAltName);
  const named = `the certificate of ${who}${identities.length === 1 ? ` (${identities[0]!.replace("/", " ")})` : ""}`;
  const dates = validity(certificate, now);
  if (dates !== null) return { fault: `${named} ${dates}` };
  if (!socket.authorized) return { fault: `${named} ${untrusted(String(socket.authorizationError), certificate)}` };
  if (identities.length !== 1) return { fault: `${named} is for ${identities.length === 0 ? "no" : "more than one"} service or node of this fleet (subject ${subject(certificate)})` };
  if (host !== null && !names(certificate, host)) return { fault: `${named} does not name ${host}: it is for ${hosts(certificate)}` };
  return { identity: identities[0]!, validTo: certificate.validToDate.getTime() };
}

/** What is wrong with its dates: `expired 3 days ago (…)`; null: nothing. */
export function validity(certificate: X509Certificate, now: number): string | null {
  const to = certificate.validToDate.getTime();
  const from = certificate.validFromDate.getTime();
  if (now > to) return expired(to, now);
  if (now < from) return `is valid only ${span(from - now)} from now (${new Date(from).toISOString()}): check the clocks of both hosts`;
  return null;
}

export function expired(validTo: number, now: number): string {
  return `expired ${span(now - validTo)} ago (${new Date(validTo).toISOString()})`;
}

/** Whether a certificate is for a host name or an address. */
export function names(certificate: X509Certificate, host: string): boolean {
  return isIP(host) !== 0 ? certificate.checkIP(host) !== undefined : certificate.checkHost(host, { subject: "never" }) !== undefined;
}

/** The host names and addresses that a certificate is for, as text. */
export function hosts(certificate: X509Certificate): string {
  const list = (certificate.subjectAltName ?? "").split(", ").filter((name) => /^(?:DNS|IP Address):/.test(name)).map((name) => name.replace(/^[^:]*:/, ""));
  return list.length === 0 ? "no host" : list.join(", ");
}

function span(ms: number): string {
  const days = Math.floor(ms / DAY_MS);
  if (days >= 1) return `${days} day${days === 1 ? "" : "s"}`;
  const minutes = Math.max(1, Math.floor(ms / 60_000));
  return minutes >= 120 ? `${Math.floor(minutes / 60)} hours` : `${minutes} minute${minutes === 1 ? "" : "s"}`;
}

/** OpenSSL's codes for a chain that does not end at our CA, in words. */
function untrusted(code: string, certificate: X509Certificate): string {
  const foreign = [
    "UNABLE_TO_GET_ISSUER_CERT", "UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "UNABLE_TO_VERIFY_LEAF_SIGNATURE", "DEPTH_ZERO_SELF_SIGNED_CERT",
    "SELF_SIGNED_CERT_IN_CHAIN", "CERT_SIGNATURE_FAILURE", "CERT_UNTRUSTED", "AKID_SKID_MISMATCH",
  ];
  if (foreign.includes(code)) return `is not signed by this fleet's CA (issuer ${certificate.issuer.replace(/\n/g, ", ")})`;
  if (code === "CERT_HAS_EXPIRED") return "is signed by a CA that has expired";
  if (code === "INVALID_PURPOSE") return "is not for this use: it must be good for both servers and clients";
  return `cannot be trusted: ${code}`;
}

function subject(certificate: X509Certificate): string {
  return certificate.subject.replace(/\n/g, ", ") || "empty";
}
