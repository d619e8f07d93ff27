import assert from "node:assert/strict";
import { test } from "node:test";
import { expandInstruction, expandText, expandWord, expandWords, ExpansionError, parseTrigger } from "./index.ts";

const variables = new Map([["x", "value"], ["empty", ""], ["path", "/usr/lib/a.tar.gz"], ["ports", "80 443"], ["q", "a'b\"c"]]);

const CASES: readonly (readonly [string, string])[] = [
  ["plain", "plain"],
  ["$x", "value"],
  ["${x}s", "values"],
  ["$xs", ""],
  ["a$", "a$"],
  ["$unset", ""],
  ["\\$x", "$x"],
  ["'$x'", "$x"],
  ["\"$x y\"", "value y"],
  ["\"a\\\"b\\n\"", "a\"b\\n"],
  ["a\\ b", "a b"],
  ["${x:-y}", "value"],
  ["${unset:-y}", "y"],
  ["${empty:-y}", "y"],
  ["${empty-y}", ""],
  ["${unset-y}", "y"],
  ["${x:+y}", "y"],
  ["${empty:+y}", ""],
  ["${empty+y}", "y"],
  ["${unset+y}", ""],
  ["${unset:-${x}-$x}", "value-value"],
  ["${unset:-\"a}b\"}", "a}b"],
  ["${x:?gone}", "value"],
  ["${path#*/}", "usr/lib/a.tar.gz"],
  ["${path##*/}", "a.tar.gz"],
  ["${path%.*}", "/usr/lib/a.tar"],
  ["${path%%.*}", "/usr/lib/a"],
  ["${path/lib/LIB}", "/usr/LIB/a.tar.gz"],
  ["${path//a/A}", "/usr/lib/A.tAr.gz"],
  ["${path/?.tar/$x}", "/usr/lib/value.gz"],
  ["$q", "a'b\"c"],
  ["$1", ""],
];

for (const [word, expected] of CASES) {
  test(`${word} expands to ${expected}`, () => assert.equal(expandWord(word, variables, "\\"), expected));
}

test("faults are named", () => {
  const faults: [string, RegExp][] = [
    ["${x", /missing '}'/], ["${x:=y}", /unsupported modifier \(:=\)/], ["${x^}", /unsupported modifier \(\^\)/], ["${}", /bad substitution/],
    ["'x", /single-quote/], ["\"x", /double-quote/], ["${unset:?is needed}", /unset: is needed/], ["${empty:?}", /empty: is not allowed to be empty/],
    ["${unset:-".repeat(80) + "}".repeat(80), /nested too deeply/],
  ];
  for (const [word, message] of faults) {
    assert.throws(() => expandWord(word, variables, "\\"), (e: unknown) => e instanceof ExpansionError && message.test(e.message), word);
  }
});

test("a value can become several words only outside quotes", () => {
  assert.deepEqual(expandWords("$ports", variables, "\\"), ["80", "443"]);
  assert.deepEqual(expandWords("\"$ports\"", variables, "\\"), ["80 443"]);
  assert.deepEqual(expandWords("$empty", variables, "\\"), []);
  assert.deepEqual(expandWords("a\"\" \"\"", variables, "\\"), ["a", ""]);
});

test("here-document text keeps its quotes", () => {
  assert.equal(expandText("it's \"$x\" \\$x \\n\n", variables, "\\"), "it's \"value\" $x \\n\n");
});

test("a fault names the word, in Docker's words", () => {
  assert.throws(() => expandInstruction(parseTrigger("ENV a=b c=${x^}"), variables, "\\"), { message: "failed to process \"${x^}\": unsupported modifier (^) in substitution" });
});

test("variables are filled in only where Docker does so", () => {
  const expand = (text: string) => JSON.stringify(expandInstruction(parseTrigger(text), variables, "\\"), (k, v: unknown) => (k === "original" ? undefined : v));
  for (const text of ["ENV a=$x", "LABEL a=$x", "ARG a=$x", "COPY $x /", "ADD --chown=$x a /", "WORKDIR $x", "USER $x", "STOPSIGNAL $x", "VOLUME $x", "EXPOSE $x"]) {
    assert.match(expand(text), /value/, text);
  }
  for (const text of ["RUN echo $x", "CMD $x", "ENTRYPOINT [\"$x\"]", "SHELL [\"$x\"]", "HEALTHCHECK CMD $x", "MAINTAINER $x", "ONBUILD COPY $x /"]) {
    assert.doesNotMatch(expand(text), /value/, text);
  }
});
