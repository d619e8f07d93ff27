import { parseReference } from "@gantry/oci";

/** `name` with `tag`, which may be a digest (`sha256:…`) and may be empty. Throws INVALID (`invalid reference format`). */
export function withTagOrDigest(name: string, tag: string): string {
  const whole = tag === "" ? name : tag.includes(":") ? `${name}@${tag}` : `${name}:${tag}`;
  parseReference(whole);
  return whole;
}
