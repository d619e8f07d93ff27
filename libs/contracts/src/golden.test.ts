import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { Type as T, type TSchema } from "typebox";
import { breaches, toGolden } from "./golden.ts";
import { goldenPath, goldenText, readGolden } from "./golden-files.ts";
import { allContracts, type MessageKind } from "./index.ts";

const UPDATE = "run: node libs/contracts/src/update-golden.ts";

test("every contract has its golden copy, and changed by additions only", () => {
  const golden = readGolden();
  const faults: string[] = [];
  for (const [name, copy] of golden) {
    const contract = allContracts().get(name);
    if (contract === undefined) faults.push(`${name}: was removed`);
    else faults.push(...breaches(copy, toGolden(contract)));
  }
  assert.deepEqual(faults, [], "a change that is not additive needs a new version beside it");
  for (const [name, contract] of allContracts()) {
    assert.ok(golden.has(name), `${name} has no golden copy; ${UPDATE}`);
    assert.equal(readFileSync(goldenPath(name), "utf8"), goldenText(toGolden(contract)), `${name} differs from its golden copy; ${UPDATE}`);
  }
});

const at = (kind: MessageKind, body: TSchema, reply: TSchema = T.Object({})) => toGolden({ kind, name: "a.b.v1", body, reply });
const body = (before: TSchema, after: TSchema, kind: MessageKind = "command") => breaches(at(kind, before), at(kind, after));
const reply = (before: TSchema, after: TSchema) => breaches(at("query", T.Object({}), before), at("query", T.Object({}), after));
const A = T.Object({ a: T.String() });

test("refuses removed, retyped and newly required fields", () => {
  assert.match(body(A, T.Object({}))[0] ?? "", /\/a: was removed/);
  assert.match(body(A, T.Object({ a: T.Integer() }))[0] ?? "", /was string, is integer/);
  assert.match(body(A, T.Object({ a: T.String(), b: T.String() }))[0] ?? "", /\/b: is now required/);
  assert.match(reply(A, T.Object({}))[0] ?? "", /was removed/);
  assert.match(reply(A, T.Object({ a: T.Optional(T.String()) }))[0] ?? "", /no longer always there/);
  assert.match(breaches(at("command", A), at("query", A))[0] ?? "", /was a command/);
});

test("sees them at any depth", () => {
  const deep = (inner: TSchema) => T.Object({ list: T.Array(T.Record(T.String(), T.Union([inner, T.Null()]))) });
  assert.match(body(deep(A), deep(T.Object({ a: T.Integer() })))[0] ?? "", /list\[\]\/\*\/a: was string, is integer/);
  assert.deepEqual(body(deep(A), deep(T.Object({ a: T.String(), b: T.Optional(T.String()) }))), []);
});

test("accepts additions, each where it is one", () => {
  assert.deepEqual(body(A, T.Object({ a: T.String(), b: T.Optional(T.String()) })), []);
  assert.deepEqual(body(A, T.Object({ a: T.Optional(T.String()) })), []);
  assert.deepEqual(reply(A, T.Object({ a: T.String(), b: T.String() })), []);
  assert.deepEqual(body(A, T.Object({ a: T.String({ description: "what it is" }) })), []);
});

test("values of a body may become wider, those of a reply narrower, those of an event neither", () => {
  const [x, xy] = [T.Object({ a: T.Literal("x") }), T.Object({ a: T.Union([T.Literal("x"), T.Literal("y")]) })];
  assert.deepEqual(body(x, xy), []);
  assert.match(body(xy, x)[0] ?? "", /no longer takes "y"/);
  assert.deepEqual(reply(xy, x), []);
  assert.match(reply(x, xy)[0] ?? "", /may now be "y"/);
  assert.equal(body(x, xy, "event").length + body(xy, x, "event").length, 2);
  const max = (maxLength?: number) => T.Object({ a: T.String(maxLength === undefined ? {} : { maxLength }) });
  assert.deepEqual([body(max(5), max(6)), body(max(5), max()), reply(max(6), max(5))], [[], [], []]);
  for (const faults of [body(max(5), max(4)), body(max(), max(4)), reply(max(5), max()), body(max(5), max(6), "event")]) assert.match(faults[0] ?? "", /maxLength/);
  assert.match(body(A, T.Object({ a: T.String({ pattern: "^x" }) }))[0] ?? "", /pattern/);
});

test("null for a string is a change of type", () => {
  const nullable = T.Object({ a: T.Union([T.String(), T.Null()]) });
  assert.deepEqual(body(A, nullable), []);
  assert.match(body(nullable, A)[0] ?? "", /no longer takes null/);
  assert.match(reply(A, nullable)[0] ?? "", /may now be null/);
});
