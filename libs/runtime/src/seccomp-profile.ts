import { release } from "node:os";
import { fail } from "@gantry/contracts";

/** A profile with its conditions resolved for this machine: what crosses the wire. Actions and operators are libseccomp's numbers. */
export interface SeccompFilter {
  readonly defaultAction: number;
  readonly architectures: readonly string[];
  readonly flags: readonly string[];
  readonly rules: readonly SeccompRule[];
}
export interface SeccompRule { readonly syscall: string; readonly action: number; readonly args: readonly SeccompArg[] }
export interface SeccompArg { readonly index: number; readonly op: number; readonly value: number | bigint; readonly valueTwo: number | bigint }

const EPERM = 1;
const OPERATORS: Readonly<Record<string, number>> = {
  SCMP_CMP_NE: 1, SCMP_CMP_LT: 2, SCMP_CMP_LE: 3, SCMP_CMP_EQ: 4, SCMP_CMP_GE: 5, SCMP_CMP_GT: 6, SCMP_CMP_MASKED_EQ: 7,
};
const ARCHITECTURES: Readonly<Partial<Record<NodeJS.Architecture, string>>> = { x64: "SCMP_ARCH_X86_64", arm64: "SCMP_ARCH_AARCH64" };
const GO_ARCHITECTURES: Readonly<Partial<Record<NodeJS.Architecture, string>>> = { x64: "amd64", arm64: "arm64" };

type Json = Readonly<Record<string, unknown>>;

function bad(what: string): Error {
  return fail("INVALID", `Decoding seccomp profile failed: ${what}`);
}

function action(name: unknown, errno: unknown): number {
  const code = typeof errno === "number" && Number.isInteger(errno) && errno >= 0 && errno < 4096 ? errno : EPERM;
  switch (name) {
    case "SCMP_ACT_ALLOW": return 0x7fff0000;
    case "SCMP_ACT_LOG": return 0x7ffc0000;
    case "SCMP_ACT_ERRNO": return 0x00050000 | code;
    case "SCMP_ACT_TRACE": return 0x7ff00000 | code;
    case "SCMP_ACT_TRAP": return 0x00030000;
    case "SCMP_ACT_KILL": case "SCMP_ACT_KILL_THREAD": return 0;
    case "SCMP_ACT_KILL_PROCESS": return 0x80000000;
    default: throw bad(`unknown action ${String(name)}`);
  }
}

function objects(value: unknown, what: string): Json[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value) || value.some((v) => typeof v !== "object" || v === null)) throw bad(`${what} is not a list of objects`);
  return value as Json[];
}

function words(value: unknown, what: string): string[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value) || value.some((v) => typeof v !== "string")) throw bad(`${what} is not a list of names`);
  return value as string[];
}

function architectures(profile: Json): string[] {
  const own = ARCHITECTURES[process.arch];
  const map = objects(profile.archMap, "archMap");
  const listed = map.length > 0
    ? map.filter((m) => m.architecture === own).flatMap((m) => [String(m.architecture), ...words(m.subArchitectures, "subArchitectures")])
    : words(profile.architectures, "architectures");
  return listed.map((name) => name.replace(/^SCMP_ARCH_/, "").toLowerCase());
}

/** `major.minor` compared as numbers. */
function kernelAtLeast(wanted: string): boolean {
  const numbers = (text: string) => text.split(".").map((part) => Number.parseInt(part, 10) || 0);
  const [major = 0, minor = 0] = numbers(wanted);
  const [ownMajor = 0, ownMinor = 0] = numbers(release());
  return ownMajor > major || (ownMajor === major && ownMinor >= minor);
}

function applies(rule: Json, capabilities: ReadonlySet<string>): boolean {
  const includes = (rule.includes ?? {}) as Json;
  const excludes = (rule.excludes ?? {}) as Json;
  const arch = GO_ARCHITECTURES[process.arch] ?? process.arch;
  const archs = words(includes.arches, "includes.arches");
  if (archs.length > 0 && !archs.includes(arch)) return false;
  if (words(excludes.arches, "excludes.arches").includes(arch)) return false;
  if (words(includes.caps, "includes.caps").some((cap) => !capabilities.has(cap))) return false;
  if (words(excludes.caps, "excludes.caps").some((cap) => capabilities.has(cap))) return false;
  if (typeof includes.minKernel === "string" && includes.minKernel !== "" && !kernelAtLeast(includes.minKernel)) return false;
  return !(typeof excludes.minKernel === "string" && excludes.minKernel !== "" && kernelAtLeast(excludes.minKernel));
}

function number(value: unknown): number | bigint {
  if (value === undefined || value === null) return 0;
  if (typeof value !== "number" || value < 0 || !Number.isFinite(value)) throw bad("an argument's value is not a number");
  return Number.isSafeInteger(value) ? value : BigInt(value);
}

function argument(arg: Json): SeccompArg {
  const op = OPERATORS[String(arg.op)];
  if (op === undefined) throw bad(`unknown operator ${String(arg.op)}`);
  if (typeof arg.index !== "number" || !Number.isInteger(arg.index) || arg.index < 0 || arg.index > 5) throw bad("an argument's index is not 0 to 5");
  return { index: arg.index, op, value: number(arg.value), valueTwo: number(arg.valueTwo) };
}

/**
 * Reads Docker's profile format (moby's profiles/seccomp). Conditions on architecture, kernel and capabilities are resolved here.
 * Several conditions on one argument become rules of their own, any of which matches, as in runc. INVALID for what is malformed.
 */
export function readProfile(text: string, capabilityNames: readonly string[]): SeccompFilter {
  let profile: Json;
  try {
    profile = JSON.parse(text) as Json;
  } catch (e) {
    throw bad(e instanceof Error ? e.message : String(e));
  }
  if (typeof profile !== "object" || profile === null) throw bad("not an object");
  const capabilities = new Set(capabilityNames.map((name) => (name.startsWith("CAP_") ? name : `CAP_${name}`)));
  const rules: SeccompRule[] = [];
  for (const rule of objects(profile.syscalls, "syscalls")) {
    if (!applies(rule, capabilities)) continue;
    const names = [...words(rule.names, "names"), ...(typeof rule.name === "string" && rule.name !== "" ? [rule.name] : [])];
    const verdict = action(rule.action, rule.errnoRet);
    const args = objects(rule.args, "args").map(argument);
    const repeated = new Set(args.map((a) => a.index)).size < args.length;
    for (const syscall of names) {
      if (repeated) rules.push(...args.map((arg) => ({ syscall, action: verdict, args: [arg] })));
      else rules.push({ syscall, action: verdict, args });
    }
  }
  return {
    defaultAction: action(profile.defaultAction, profile.defaultErrnoRet),
    architectures: architectures(profile),
    flags: words(profile.flags, "flags"),
    rules,
  };
}
