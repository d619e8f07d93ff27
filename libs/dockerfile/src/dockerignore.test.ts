import assert from "node:assert/strict";
import { test } from "node:test";
import { BadPattern, hasWildcards, IgnoreMatcher, parseIgnoreFile, pathMatcher } from "./index.ts";

test("filepath.Match as Go does it", () => {
  const cases: [string, string, boolean][] = [
    ["abc", "abc", true], ["*", "abc", true], ["*c", "abc", true], ["a*", "a", true], ["a*", "ab/c", false], ["a*/b", "abc/b", true],
    ["a*/b", "a/c/b", false], ["a?c", "abc", true], ["a?c", "a/c", false], ["ab[c]", "abc", true], ["ab[b-d]", "abc", true], ["ab[e-g]", "abc", false],
    ["ab[^c]", "abc", false], ["ab[^e-g]", "abc", true], ["a\\*b", "a*b", true], ["a\\*b", "ab", false], ["[\\]a]", "]", true], ["[x\\-]", "-", true],
    ["a.c", "abc", false], ["*.go", "main.go", true], ["日?", "日本", true],
  ];
  for (const [pattern, name, expected] of cases) assert.equal(pathMatcher(pattern)(name), expected, `${pattern} ${name}`);
  for (const bad of ["[", "[]", "a[", "[^", "[a-", "[-]", "a\\"]) assert.throws(() => pathMatcher(bad), BadPattern, bad);
});

test("a path with wildcards is told from one without", () => {
  assert.equal(hasWildcards("a*"), true);
  assert.equal(hasWildcards("a\\*"), false);
  assert.equal(hasWildcards("[ab]"), true);
  assert.equal(hasWildcards("plain/path"), false);
});

test("ignore rules: directories, double stars, and taking back", () => {
  const cases: [string, string, boolean][] = [
    ["node_modules", "node_modules/a/b.js", true], ["node_modules", "src/node_modules", false], ["**/node_modules", "src/node_modules/x", true],
    ["**/node_modules", "node_modules", true], ["*.md", "README.md", true], ["*.md", "docs/README.md", false], ["**/*.md", "docs/README.md", true],
    ["/foo/", "foo/bar", true], ["*/temp*", "somedir/temporary.txt", true], ["temp?", "tempa", true], ["a/**", "a/b/c", true], ["a/**", "a", false],
    ["a/**/b", "a/b", true], ["a/**/b", "a/x/y/b", true], ["**", "anything/at/all", true], ["*\n!README.md", "README.md", false],
    ["*\n!src\nsrc/secret", "src/a", false], ["*\n!src\nsrc/secret", "src/secret", true], ["# not a rule\nx", "# not a rule", false], ["foo/./bar/../baz", "foo/baz", true],
  ];
  for (const [file, path, expected] of cases) assert.equal(IgnoreMatcher.parse(file).ignores(path), expected, `${JSON.stringify(file)} ${path}`);
  assert.deepEqual(parseIgnoreFile("\uFEFF a \n\n#c\n! /b/ \n"), ["a", "!b"]);
  assert.throws(() => IgnoreMatcher.parse("!"), BadPattern);
});
