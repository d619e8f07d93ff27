import assert from "node:assert/strict";
import { test } from "node:test";
import { isGantryError } from "@gantry/kernel";
import { readProfile } from "./seccomp-profile.ts";

const ALLOW = 0x7fff0000;
const read = (profile: unknown, capabilities: string[] = []) => readProfile(JSON.stringify(profile), capabilities);
const names = (profile: unknown, capabilities: string[] = []) => read({ defaultAction: "SCMP_ACT_ERRNO", ...(profile as object) }, capabilities).rules.map((r) => r.syscall);
const rule = (name: string, more: object) => ({ names: [name], action: "SCMP_ACT_ALLOW", ...more });

test("actions and their errno", () => {
  const { defaultAction, rules } = read({ defaultAction: "SCMP_ACT_ERRNO", syscalls: [
    { name: "old", action: "SCMP_ACT_ALLOW" }, { names: ["a", "b"], action: "SCMP_ACT_ERRNO", errnoRet: 38 }, { names: ["c"], action: "SCMP_ACT_KILL_PROCESS" },
  ] });
  assert.equal(defaultAction, 0x50001);
  assert.deepEqual(rules.map((r) => [r.syscall, r.action]), [["old", ALLOW], ["a", 0x50026], ["b", 0x50026], ["c", 0x80000000]]);
});

test("conditions on capabilities, architecture and kernel", () => {
  const other = process.arch === "x64" ? "s390x" : "amd64";
  const own = process.arch === "x64" ? "amd64" : "arm64";
  const syscalls = [
    rule("with", { includes: { caps: ["CAP_SYS_ADMIN"] } }), rule("without", { excludes: { caps: ["CAP_SYS_ADMIN"] } }),
    rule("here", { includes: { arches: [own] } }), rule("there", { includes: { arches: [other] } }), rule("nothere", { excludes: { arches: [own] } }),
    rule("old", { includes: { minKernel: "3.0" } }), rule("future", { includes: { minKernel: "99.1" } }),
  ];
  assert.deepEqual(names({ syscalls }), ["without", "here", "old"]);
  assert.deepEqual(names({ syscalls }, ["SYS_ADMIN"]), ["with", "here", "old"]);
});

test("arguments; several conditions on one are alternatives", () => {
  const arg = (index: number, value: number, op = "SCMP_CMP_EQ") => ({ index, value, op });
  const { rules } = read({ defaultAction: "SCMP_ACT_KILL", syscalls: [
    rule("both", { args: [arg(0, 1), arg(1, 2, "SCMP_CMP_NE")] }), rule("either", { args: [arg(0, 1), arg(0, 2)] }),
    rule("masked", { args: [{ index: 0, value: 2114060288, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }] }),
  ] });
  assert.deepEqual(rules.map((r) => [r.syscall, r.args.length]), [["both", 2], ["either", 1], ["either", 1], ["masked", 1]]);
  assert.deepEqual(rules[3]!.args, [{ index: 0, op: 7, value: 2114060288, valueTwo: 0 }]);
});

test("what is malformed is refused", () => {
  const bad = [
    "nothing", "[]", "null", '{"defaultAction":"ALLOW"}', '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":{}}', '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[null]}',
    '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":[1],"action":"SCMP_ACT_ALLOW"}]}',
    '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"SCMP_ACT_ALLOW","args":[{"index":9,"op":"SCMP_CMP_EQ","value":1}]}]}',
    '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"op":"SCMP_CMP_NO","value":1}]}]}',
  ];
  for (const text of bad) assert.throws(() => readProfile(text, []), (e) => isGantryError(e, "INVALID"), text);
});
