import { createHash } from "node:crypto";

/** `sha256:<64 lower-case hex>`, the one algorithm that is stored. */
export const DIGEST_PATTERN = /^sha256:[0-9a-f]{64}$/;

export function isDigest(text: string): boolean {
  return DIGEST_PATTERN.test(text);
}

/** Digest of bytes, or of a text's UTF-8. */
export function digestOf(data: Uint8Array | string): string {
  return `sha256:${createHash("sha256").update(data).digest("hex")}`;
}

/**
 * Chain ID of each layer, bottom first (OCI image-spec, "Layer ChainID"): the first is its diff ID, each next
 * the digest of `<chain ID below> <diff ID>`.
 */
export function chainIds(diffIds: readonly string[]): string[] {
  const chain: string[] = [];
  let below = "";
  for (const diffId of diffIds) {
    below = below === "" ? diffId : digestOf(`${below} ${diffId}`);
    chain.push(below);
  }
  return chain;
}
