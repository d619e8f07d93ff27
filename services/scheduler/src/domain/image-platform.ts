import { fail } from "@gantry/contracts";
import { formatPlatform, parsePlatform, platformMatches } from "@gantry/oci";

/**
 * Holds an image's config against `--platform` (absent: any). NO_SUCH_IMAGE, which makes clients pull the right one. INVALID for
 * what is no platform.
 */
export function checkPlatform(wanted: string | undefined, ref: string, config: Readonly<Record<string, unknown>>): void {
  const platform = parsePlatform(wanted ?? "");
  if (platform === null) return;
  const text = (name: string): string => (typeof config[name] === "string" ? config[name] : "");
  const variant = text("variant");
  const offered = { os: text("os") || "linux", architecture: text("architecture"), ...(variant === "" ? {} : { variant }) };
  if (!platformMatches(platform, offered)) {
    throw fail("NO_SUCH_IMAGE", `image with reference ${ref} was found but does not provide the specified platform (${formatPlatform(platform)})`);
  }
}

/** The kernel's word for a machine as images have it. */
export function architectureOf(machine: string): string {
  return { x86_64: "amd64", aarch64: "arm64", armv7l: "arm", i386: "386", i686: "386" }[machine] ?? machine;
}
