/**
 * Who a certificate is for: `service/<name>` or `node/<node ID>`. It stands in the certificate as a URI among the subject
 * alternative names: `gantry:service/api`, `gantry:node/n1`.
 */
export type Identity = `service/${string}` | `node/${string}`;
/** Whom a server takes calls from: one identity, or any node. */
export type Allowed = Identity | "node/*";

const IDENTITY = /^(?:service|node)\/[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/;
const SCHEME = "gantry:";

export function isIdentity(text: string): text is Identity {
  return IDENTITY.test(text);
}

export function identityUri(identity: Identity): string {
  return SCHEME + identity;
}

/**
 * The identity among subject alternative names as Node writes them (`DNS:a, URI:gantry:node/n1`); null for none or several. Node puts a
 * name with unusual characters in quotes, so that none can pass for two: quoted names are no identities.
 */
export function identityOf(subjectAltName: string | undefined): Identity | null {
  const [identity, ...others] = (subjectAltName ?? "").split(", ")
    .filter((name) => name.startsWith(`URI:${SCHEME}`)).map((name) => name.slice(4 + SCHEME.length));
  return identity !== undefined && others.length === 0 && isIdentity(identity) ? identity : null;
}

export function isAllowed(identity: Identity, allowed: readonly Allowed[]): boolean {
  return allowed.some((one) => one === identity || (one === "node/*" && identity.startsWith("node/")));
}

/** For messages: `service api`, `node n1`, `any node`. */
export function describeIdentity(identity: Allowed): string {
  return identity === "node/*" ? "any node" : identity.replace("/", " ");
}
