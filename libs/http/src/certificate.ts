import type { X509Certificate } from "node:crypto";
import { isIP } from "node:net";

const DAY_MS = 86_400_000;

/** What is wrong with its dates: `expired 3 days ago (…)`; null: nothing. */
export function validity(certificate: X509Certificate, now: number): string | null {
  const to = certificate.validToDate.getTime();
  const from = certificate.validFromDate.getTime();
  if (now > to) return `expired ${span(now - to)} ago (${new Date(to).toISOString()})`;
  if (now < from) return `is valid only ${span(from - now)} from now (${new Date(from).toISOString()}): check this host's clock`;
  return null;
}

/** Whether a certificate is for a host name or an address. */
export function names(certificate: X509Certificate, host: string): boolean {
  return isIP(host) !== 0 ? certificate.checkIP(host) !== undefined : certificate.checkHost(host, { subject: "never" }) !== undefined;
}

/** The host names and addresses that a certificate is for. */
export function hostsOf(certificate: X509Certificate): string[] {
  return (certificate.subjectAltName ?? "").split(", ").filter((name) => /^(?:DNS|IP Address):/.test(name)).map((name) => plain(name.replace(/^[^:]*:/, "")));
}

/** IPv6 in its short form: certificates have it in full. */
function plain(host: string): string {
  return isIP(host) === 6 ? new URL(`http://[${host}]`).hostname.slice(1, -1) : host;
}

function span(ms: number): string {
  const days = Math.floor(ms / DAY_MS);
  if (days >= 1) return `${days} day${days === 1 ? "" : "s"}`;
  const minutes = Math.max(1, Math.floor(ms / 60_000));
  return minutes >= 120 ? `${Math.floor(minutes / 60)} hours` : `${minutes} minute${minutes === 1 ? "" : "s"}`;
}
