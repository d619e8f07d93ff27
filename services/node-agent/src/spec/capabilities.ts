import { fail } from "@gantry/contracts";
import { ALL_CAPABILITIES, DEFAULT_CAPABILITIES } from "@gantry/runtime";

const KNOWN = new Set(ALL_CAPABILITIES);

function named(given: string): string {
  const upper = given.toUpperCase();
  const name = upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
  if (!KNOWN.has(name)) throw fail("INVALID", `invalid capability: "${given}"`);
  return name;
}

const isAll = (name: string) => /^(CAP_)?ALL$/i.test(name);

/** `held`: capabilities that this host's agent can give, null for all; a privileged container gets what there is. */
export function capabilitiesOf(host: { Privileged: boolean; CapAdd: string[] | null; CapDrop: string[] | null }, held: ReadonlySet<string> | null): string[] {
  const all = () => ALL_CAPABILITIES.filter((name) => held === null || held.has(name));
  if (host.Privileged) return all();
  const add = host.CapAdd ?? [];
  const drop = host.CapDrop ?? [];
  const dropped = new Set(drop.filter((name) => !isAll(name)).map(named));
  const added = add.filter((name) => !isAll(name)).map(named);
  if (add.some(isAll)) return all().filter((name) => !dropped.has(name));
  if (drop.some(isAll)) return [...new Set(added)];
  return [...new Set([...DEFAULT_CAPABILITIES.filter((name) => !dropped.has(name)), ...added])];
}

/** The bits of /proc/self/status's CapBnd, by name. */
export function capabilitiesFromMask(hex: string): Set<string> {
  const mask = BigInt(`0x${hex}`);
  return new Set(ALL_CAPABILITIES.filter((_, bit) => (mask >> BigInt(bit)) & 1n));
}
