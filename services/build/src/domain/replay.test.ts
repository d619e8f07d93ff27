import assert from "node:assert/strict";
import { test } from "node:test";
import { cacheLine, errorMessage, imageLine, outputRow, removingLine, rowsOf, runningLine, stepLine, type LogRow } from "./messages.ts";
import { Replay } from "./replay.ts";

const A = "a".repeat(64), B = "b".repeat(64);
const IMAGE = (n: number) => `sha256:${String(n).repeat(64)}`;

const from = (): LogRow[] => rowsOf(1, ...stepLine(1, 3, "FROM x"), imageLine(IMAGE(1)));
const ran = (container: string, ...output: string[]): LogRow[] => [
  ...rowsOf(2, ...stepLine(2, 3, "RUN y"), runningLine(container)), ...output.map((text) => outputRow(2, "stdout", text)),
];
const end = (container: string): LogRow[] => [...rowsOf(2, removingLine(container), imageLine(IMAGE(2))), ...rowsOf(3, ...stepLine(3, 3, "CMD z"))];
const text = (rows: readonly LogRow[]): string => rows.map((row) => String(row.message["stream"] ?? JSON.stringify(row.message))).join("");

/** What a reader sees of an attempt that was cut off after `told`, and of the next one. */
function both(told: readonly LogRow[], next: readonly LogRow[]): string {
  const step = told.at(-1)?.step ?? 0;
  const replay = new Replay({ step, rows: told.filter((row) => row.step === step) });
  return text([...told, ...next.flatMap((row) => replay.pass(row))]);
}

const WHOLE = "Step 1/3 : FROM x\n ---> 111111111111\nStep 2/3 : RUN y\n ---> Running in aaaaaaaaaaaa\n";

test("an attempt that is cut off anywhere before its program writes is told on without a word twice", () => {
  const all = [...from(), ...ran(A, "one\n", "two\n"), ...end(A)];
  for (let cut = 0; cut <= from().length + 2; cut++) {
    assert.equal(both(all.slice(0, cut), [...from(), ...ran(A, "one\n", "two\n"), ...end(A)]), text(all), `cut at ${cut}`);
  }
});

test("a program that runs again: lines that were told are left out, whatever pieces they come in", () => {
  const told = [...from(), ...ran(A, "one\ntw", "o\n")];
  assert.equal(both(told, [...from(), ...ran(B, "o", "ne\n", "two\nthr", "ee\nlast"), ...end(B)]),
    `${WHOLE}one\ntwo\n ---> Running in bbbbbbbbbbbb\nthree\nlastRemoving intermediate container bbbbbbbbbbbb\n ---> 222222222222\nStep 3/3 : CMD z\n`);
});

test("from the first line that differs on everything is told; a line cut in the middle is ended and told again", () => {
  assert.equal(both([...from(), ...ran(A, "one\n12:01\nthree\n")], [...from(), ...ran(B, "one\n12:02\nthree\n")]), `${WHOLE}one\n12:01\nthree\n ---> Running in bbbbbbbbbbbb\n12:02\nthree\n`);
  assert.equal(both([...from(), ...ran(A, "one\nhal")], [...from(), ...ran(B, "one\nhalf\n")]), `${WHOLE}one\nhal\n ---> Running in bbbbbbbbbbbb\nhalf\n`);
  assert.equal(both([...from(), ...ran(A, "a\n")], [...from(), ...ran(B, "b"), ...end(B)]).includes("bbbbbbbbbbbb\nbRemoving"), true);
});

test("a third attempt knows what the first two told", () => {
  const first = [...from(), ...ran(A, "one\ntw")];
  const replay = new Replay({ step: 2, rows: first.filter((row) => row.step === 2) });
  const second = [...from(), ...ran(B, "one\ntwo\nthr")].flatMap((row) => replay.pass(row));
  const told = [...first, ...second];
  assert.equal(both(told, [...from(), ...ran("c".repeat(64), "one\ntwo\nthree\nfour\n")]),
    `${WHOLE}one\ntw\n ---> Running in bbbbbbbbbbbb\ntwo\nthr\n ---> Running in cccccccccccc\nthree\nfour\n`);
});

test("the streams of a program are compared each by itself", () => {
  const err = (line: string) => outputRow(2, "stderr", line);
  const told = [...from(), ...ran(A, "1\n"), err("e1\n"), outputRow(2, "stdout", "2\n")];
  assert.equal(both(told, [...from(), ...ran(B), err("e1\n"), err("e2\n"), outputRow(2, "stdout", "1\n2\n3\n")]), `${text(told)} ---> Running in bbbbbbbbbbbb\n\u001b[91me2\n\u001b[0m3\n`);
});

test("a step whose image was made, but not told, needs no second run; one never told says that it was cached", () => {
  const cached = (step: number): LogRow[] => rowsOf(step, ...stepLine(step, 3, "RUN y"), cacheLine, imageLine(IMAGE(step)));
  assert.equal(both([...from(), ...ran(A, "one\n")], [...from(), ...cached(2)]), `${WHOLE}one\n ---> 222222222222\n`);
  assert.equal(both(from(), [...from(), ...cached(2)]), "Step 1/3 : FROM x\n ---> 111111111111\nStep 2/3 : RUN y\n ---> Using cache\n ---> 222222222222\n");
  assert.equal(both([...from(), ...rowsOf(2, ...stepLine(2, 3, "RUN y"), cacheLine)], [...from(), ...cached(2)]), "Step 1/3 : FROM x\n ---> 111111111111\nStep 2/3 : RUN y\n ---> Using cache\n ---> 222222222222\n");
});

test("output that looks like the builder's lines is output", () => {
  const told = [...from(), ...ran(A, " ---> Using cache\n", `Removing intermediate container ${A.slice(0, 12)}\n`)];
  assert.equal(both(told, [...from(), ...ran(B, " ---> Using cache\n", "next\n")]), `${text(told)} ---> Running in bbbbbbbbbbbb\nnext\n`);
});

test("what is no text is told once as well", () => {
  const told = [...rowsOf(1, { status: "Pulling from x" }, { status: "Done", id: "1" }), ...rowsOf(1, errorMessage("no", null))];
  assert.equal(both(told, told), text(told));
});
