import { fail } from "@gantry/contracts";

/** The domain of names that name none. */
export const DEFAULT_DOMAIN = "docker.io";
const OFFICIAL_PREFIX = "library/";
export const DEFAULT_TAG = "latest";
const MAX_NAME = 255;

/** A normalised image reference (Docker's distribution/reference grammar). */
export interface Reference {
  /** `docker.io`, `localhost:5000`, `[::1]:5000` … */
  readonly domain: string;
  /** `library/redis`, `a/b/c` */
  readonly path: string;
  readonly tag: string | null;
  /** `sha256:…` */
  readonly digest: string | null;
}

const COMPONENT = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
const DOMAIN_COMPONENT = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?";
const DOMAIN = `(?:${DOMAIN_COMPONENT}(?:\\.${DOMAIN_COMPONENT})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?`;
const TAG = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}";
const DIGEST = "[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}";
const REFERENCE = new RegExp(`^(${DOMAIN})/(${COMPONENT}(?:/${COMPONENT})*)(?::(${TAG}))?(?:@(${DIGEST}))?$`);
const TAG_ONLY = new RegExp(`^${TAG}$`);
const REPOSITORY = new RegExp(`^${COMPONENT}(?:/${COMPONENT})*$`);
const HEX_ID = /^[0-9a-f]{64}$/;

/** Digest lengths, in hex digits, of the algorithms that a reference may name. */
const ALGORITHMS: Readonly<Record<string, number>> = { sha256: 64, sha384: 96, sha512: 128 };

/**
 * Parses `[domain/]path[:tag][@digest]` and fills in what Docker fills in: domain `docker.io`, and `library/` for its
 * names of one component. No tag is added: see {@link withDefaultTag}.
 * Throws INVALID in Docker's words (`invalid reference format`, …).
 */
export function parseReference(text: string): Reference {
  if (HEX_ID.test(text)) throw fail("INVALID", `invalid repository name (${text}), cannot specify 64-byte hexadecimal strings`);
  if (text.length > 1024) throw fail("INVALID", "invalid reference format");
  const { domain, remainder } = splitDomain(text);
  const colon = remainder.indexOf(":");
  const name = colon < 0 ? remainder : remainder.slice(0, colon);
  if (name.toLowerCase() !== name) throw fail("INVALID", `invalid reference format: repository name (${name}) must be lowercase`);
  const match = REFERENCE.exec(`${domain}/${remainder}`);
  if (match === null) throw fail("INVALID", "invalid reference format");
  const [, matchedDomain, path, tag, digest] = match;
  if (matchedDomain!.length + 1 + path!.length > MAX_NAME) {
    throw fail("INVALID", `repository name must not be more than ${MAX_NAME} characters`);
  }
  if (digest !== undefined) checkDigest(digest);
  return { domain: matchedDomain!, path: path!, tag: tag ?? null, digest: digest ?? null };
}

function splitDomain(text: string): { domain: string; remainder: string } {
  const slash = text.indexOf("/");
  const head = slash < 0 ? "" : text.slice(0, slash);
  let domain = DEFAULT_DOMAIN;
  let remainder = text;
  if (slash >= 0 && (/[.:]/.test(head) || head === "localhost" || head.toLowerCase() !== head)) {
    domain = head === `index.${DEFAULT_DOMAIN}` ? DEFAULT_DOMAIN : head;
    remainder = text.slice(slash + 1);
  }
  if (domain === DEFAULT_DOMAIN && !remainder.includes("/")) remainder = OFFICIAL_PREFIX + remainder;
  return { domain, remainder };
}

function checkDigest(digest: string): void {
  const colon = digest.indexOf(":");
  const length = ALGORITHMS[digest.slice(0, colon)];
  if (length === undefined) throw fail("INVALID", "invalid reference format: unsupported digest algorithm");
  const hex = digest.slice(colon + 1);
  if (hex.length !== length) throw fail("INVALID", "invalid reference format: invalid checksum digest length");
  if (!/^[0-9a-f]+$/.test(hex)) throw fail("INVALID", "invalid reference format: invalid checksum digest format");
}

export type AnyReference = { readonly kind: "id"; readonly id: string } | { readonly kind: "named"; readonly ref: Reference };

/** What users give where an image is meant: a full ID with or without `sha256:`, else a name. ID prefixes parse as names. */
export function parseAnyReference(text: string): AnyReference {
  if (HEX_ID.test(text)) return { kind: "id", id: `sha256:${text}` };
  if (/^sha256:[0-9a-f]{64}$/.test(text)) return { kind: "id", id: text };
  return { kind: "named", ref: parseReference(text) };
}

/** `redis`, `user/app`, `localhost:5000/x`: the name as Docker shows it. */
export function familiarName(ref: Pick<Reference, "domain" | "path">): string {
  if (ref.domain !== DEFAULT_DOMAIN) return `${ref.domain}/${ref.path}`;
  const rest = ref.path.startsWith(OFFICIAL_PREFIX) ? ref.path.slice(OFFICIAL_PREFIX.length) : "";
  return rest !== "" && !rest.includes("/") ? rest : ref.path;
}

/** {@link familiarName} with tag and digest, where there are any. */
export function familiarString(ref: Reference): string {
  return familiarName(ref) + suffix(ref);
}

/** `docker.io/library/redis`: the name in full, without tag and digest. */
export function fullName(ref: Pick<Reference, "domain" | "path">): string {
  return `${ref.domain}/${ref.path}`;
}

/** {@link fullName} with tag and digest. */
export function referenceString(ref: Reference): string {
  return fullName(ref) + suffix(ref);
}

function suffix(ref: Reference): string {
  return (ref.tag === null ? "" : `:${ref.tag}`) + (ref.digest === null ? "" : `@${ref.digest}`);
}

/** Adds `latest` where there is neither tag nor digest. */
export function withDefaultTag(ref: Reference): Reference {
  return ref.tag === null && ref.digest === null ? { ...ref, tag: DEFAULT_TAG } : ref;
}

/** Replaces the tag and drops the digest. Throws INVALID. */
export function withTag(ref: Reference, tag: string): Reference {
  if (!isTag(tag)) throw fail("INVALID", "invalid tag format");
  return { ...ref, tag, digest: null };
}

export function isTag(text: string): boolean {
  return TAG_ONLY.test(text);
}

/** A repository name as it stands in a registry's URLs (distribution-spec `<name>`): path components, no domain. */
export function isRepositoryName(text: string): boolean {
  return text.length <= MAX_NAME && REPOSITORY.test(text);
}
