import { familiarName, fullName, parseReference, isRepositoryName, type Reference } from "@gantry/oci";
import { splitRepository, type ImageReference } from "./catalog.ts";

/** `redis:3.2`, `localhost:5000/x@sha256:…`: a reference as Docker shows it. */
export function familiarReference(ref: ImageReference): string {
  return familiarRepository(ref.repo) + (ref.tag === null ? `@${ref.digest}` : `:${ref.tag}`);
}

/** A full repository name as Docker shows it. */
export function familiarRepository(repo: string): string {
  return familiarName(splitRepository(repo));
}

/**
 * The local repository behind a name in a registry URL, or null where the name is not valid.
 * The registry serves the names that `docker images` shows: `/v2/pinger` and `/v2/library/pinger` are `pinger`, `/v2/team/app`
 * is `team/app`, and `/v2/registry.example/team/app` is `registry.example/team/app`.
 */
export function repositoryOfPath(name: string): string | null {
  if (!isRepositoryName(name)) return null;
  try {
    return fullName(parseReference(name));
  } catch {
    return null;
  }
}

/** The name of a local repository in registry URLs; null where a URL cannot name it (a host with a port). */
export function pathOfRepository(repo: string): string | null {
  const name = familiarRepository(repo);
  return repositoryOfPath(name) === repo ? name : null;
}

export function repositoryOf(ref: Reference): string {
  return fullName(ref);
}
