import { fail } from "@gantry/contracts";
import type { Descriptor, Platform } from "./manifest.ts";

const ARCHITECTURES: Readonly<Record<string, string>> = {
  x64: "amd64", x86_64: "amd64", "x86-64": "amd64", ia32: "386", i386: "386", i686: "386", aarch64: "arm64", armhf: "arm",
};

/** Brings an architecture's names (uname's, Node's, Go's) to Go's, and fills the variant that an architecture has by itself. */
export function normalizePlatform(platform: Platform): Platform {
  const os = platform.os.toLowerCase() === "macos" ? "darwin" : platform.os.toLowerCase();
  const given = platform.architecture.toLowerCase();
  const architecture = ARCHITECTURES[given] ?? given;
  let variant = platform.variant?.toLowerCase() ?? "";
  if (/^[5-8]$/.test(variant)) variant = `v${variant}`;
  if (architecture === "arm64" && variant === "v8") variant = "";
  if (architecture === "amd64" && variant === "v1") variant = "";
  if (architecture === "arm" && variant === "") variant = "v7";
  const result: Platform = { os, architecture };
  if (variant !== "") result.variant = variant;
  return result;
}

/** The platform of this process. */
export function hostPlatform(): Platform {
  return normalizePlatform({ os: process.platform, architecture: process.arch });
}

/** `linux/amd64`, `linux/arm/v7`, `linux` or `arm64`; what is not said is the host's. Empty: null. Throws INVALID. */
export function parsePlatform(text: string, host: Platform = hostPlatform()): Platform | null {
  if (text === "") return null;
  const parts = text.split("/");
  if (parts.length > 3 || parts.some((part) => !/^[A-Za-z0-9_.-]+$/.test(part))) {
    throw fail("INVALID", `"${text}": invalid platform: os and architecture must be given as os/arch[/variant]`);
  }
  if (parts.length === 1) {
    const one = parts[0]!.toLowerCase();
    const isOs = ["linux", "windows", "darwin", "freebsd"].includes(one);
    return normalizePlatform(isOs ? { ...host, os: one } : { os: host.os, architecture: one });
  }
  const platform: Platform = { os: parts[0]!, architecture: parts[1]! };
  if (parts[2] !== undefined) platform.variant = parts[2];
  return normalizePlatform(platform);
}

/** `linux/arm/v7` */
export function formatPlatform(platform: Platform): string {
  return [platform.os, platform.architecture, platform.variant].filter((part) => part !== undefined && part !== "").join("/");
}

/** What runs on `wanted`, best first: for arm the same variant, then lower ones; for amd64 and arm64 likewise. */
function acceptable(wanted: Platform): Platform[] {
  const platform = normalizePlatform(wanted);
  const variants: (string | undefined)[] = [platform.variant];
  const level = /^v([0-9]+)$/.exec(platform.variant ?? "");
  if (level !== null) {
    const lowest = platform.architecture === "arm" ? 5 : platform.architecture === "arm64" ? 8 : 1;
    for (let v = Number(level[1]) - 1; v >= lowest; v--) variants.push(`v${v}`);
  }
  if (platform.architecture !== "arm") variants.push(undefined);
  const result: Platform[] = [];
  for (const variant of variants) {
    result.push(variant === undefined ? { os: platform.os, architecture: platform.architecture } : { os: platform.os, architecture: platform.architecture, variant });
  }
  return result;
}

/** True where an image for `offered` runs on `wanted`. */
export function platformMatches(wanted: Platform, offered: Platform): boolean {
  const text = formatPlatform(normalizePlatform(offered));
  return acceptable(wanted).some((platform) => formatPlatform(platform) === text);
}

/**
 * The manifest of an index for a platform: the best variant, and the first listed where several are equal.
 * Descriptors without a platform match only where none has one. null: none fits.
 */
export function selectManifest(manifests: readonly Descriptor[], wanted: Platform): Descriptor | null {
  const stated = manifests.filter((m) => m.platform !== undefined && m.platform !== null);
  if (stated.length === 0) return manifests[0] ?? null;
  for (const platform of acceptable(wanted)) {
    const text = formatPlatform(platform);
    const found = stated.find((m) => formatPlatform(normalizePlatform(m.platform!)) === text);
    if (found !== undefined) return found;
  }
  return null;
}
