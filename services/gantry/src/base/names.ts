/** Base images that are made here, without a registry, from Debian packages and this process's node binary. */
export const BASE_NAMES = ["busybox", "debian", "node"] as const;
export type BaseName = (typeof BASE_NAMES)[number];
