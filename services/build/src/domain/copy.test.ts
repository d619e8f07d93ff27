import assert from "node:assert/strict";
import { test } from "node:test";
import type { SourceEntry } from "../context/tar-scan.ts";
import { contentDigest, resolveNode, SourceTree, without } from "../context/tree.ts";
import { planCopy, planDirectory, type PlannedEntry, type TargetStat, type TargetView } from "./copy-plan.ts";
import { type CopySource, selectSources, sourcesHash } from "./copy-sources.ts";

const entry = (name: string, fields: Partial<SourceEntry> = {}): SourceEntry => ({
  name, type: name.endsWith("/") ? "directory" : "file", linkName: "", mode: 0o644, uid: 7, gid: 8, size: 1, mtimeNs: 5n, major: 0, minor: 0, xattrs: [],
  sha256: "aa", offset: 0, inode: "", ...fields,
});
const treeOf = (...entries: readonly SourceEntry[]): SourceTree => {
  const tree = new SourceTree();
  for (const each of entries) tree.add(each);
  return tree;
};
const content = { read: async function* read() {} };
const CONTEXT = treeOf(
  entry("a.txt"), entry("b.txt"), entry("dir/", { mode: 0o700 }), entry("dir/c"), entry("dir/sub/"), entry("dir/sub/d"), entry("link", { type: "symlink", linkName: "a.txt" }),
  entry("dirlink", { type: "symlink", linkName: "/dir" }), entry("out", { type: "symlink", linkName: "../../../etc/passwd" }),
);
const select = (...patterns: string[]): CopySource[] => selectSources(CONTEXT.root, patterns, { instruction: "COPY", content });

/** An image with these paths; `x -> y` is a link. */
function viewOf(...paths: readonly string[]): TargetView {
  const links = new Map(paths.filter((p) => p.includes(" -> ")).map((p) => p.split(" -> ") as [string, string]));
  const stats = new Map<string, TargetStat>([["/", stat("directory")]]);
  for (const path of paths) if (!path.includes(" -> ")) stats.set(path.replace(/(.)\/$/, "$1"), stat(path.endsWith("/") ? "directory" : "other"));
  return {
    resolve: (path) => { const clean = path.replace(/(.)\/$/, "$1"); for (const [from, to] of links) if (clean === from || clean.startsWith(`${from}/`)) return to + clean.slice(from.length); return clean; },
    stat: (path) => stats.get(path) ?? null,
  };
}
const stat = (type: "directory" | "other"): TargetStat => ({ type, mode: 0o750, uid: 3, gid: 4, mtimeNs: 9n, xattrs: [] });
const plan = (sources: readonly CopySource[], destination: string, view: TargetView, options: { workdir?: string; owner?: { uid: number; gid: number }; mode?: number; include?: (path: string) => boolean } = {}) =>
  planCopy(sources, view, { instruction: "COPY", destination, workdir: options.workdir ?? "", owner: options.owner ?? null, mode: options.mode ?? null, nowNs: 100n, include: options.include ?? (() => true) });
const paths = (entries: readonly PlannedEntry[]): string[] => entries.map((e) => `${e.path}${e.type === "directory" ? "/" : ""}`).sort();

test("sources: names, wildcards, links, and what is not there", () => {
  assert.deepEqual(select("a.txt").map((s) => s.name), ["a.txt"]);
  assert.deepEqual(select("*.txt").map((s) => s.name), ["a.txt", "b.txt"]);
  assert.deepEqual(select("d*/s*/[a-d]").map((s) => s.node.path), ["dir/sub/d"]);
  assert.equal(select("link")[0]!.node.path, "a.txt");
  assert.equal(select("link")[0]!.name, "link");
  assert.equal(select("dirlink/c")[0]!.node.path, "dir/c");
  assert.equal(select("/dir/../a.txt")[0]!.node.path, "a.txt");
  assert.equal(select(".")[0]!.node, CONTEXT.root);
  const message = (pattern: string): string => { try { select(pattern); } catch (e) { return (e as Error).message; } return ""; };
  assert.equal(message("nope"), "COPY failed: file not found in build context or excluded by .dockerignore: stat nope: file does not exist");
  assert.equal(message("out"), "COPY failed: file not found in build context or excluded by .dockerignore: stat out: file does not exist");
  assert.equal(message("nope*"), "COPY failed: no source files were specified");
  assert.equal(message("../x"), "COPY failed: forbidden path outside the build context: ../x ()");
  assert.match(message("[a"), /syntax error in pattern/);
});

test("where a file goes", () => {
  assert.deepEqual(paths(plan(select("a.txt"), "/x", viewOf())), ["x"]);
  assert.deepEqual(paths(plan(select("a.txt"), "/x/", viewOf())), ["x/", "x/a.txt"]);
  assert.deepEqual(paths(plan(select("a.txt"), "/x", viewOf("/x/"))), ["x/", "x/a.txt"]);
  assert.deepEqual(paths(plan(select("a.txt"), "/x", viewOf("/x"))), ["x"]);
  assert.deepEqual(paths(plan(select("link"), "/x/", viewOf())), ["x/", "x/link"]);
  assert.deepEqual(paths(plan(select("a.txt"), "/", viewOf())), ["a.txt"]);
  assert.deepEqual(paths(plan(select("a.txt"), ".", viewOf("/home/"), { workdir: "/home" })), ["home/", "home/a.txt"]);
  assert.deepEqual(paths(plan(select("a.txt"), "sub/y", viewOf("/home/"), { workdir: "/home" })), ["home/", "home/sub/", "home/sub/y"]);
  assert.deepEqual(paths(plan(select("a.txt"), "/lib/x", viewOf("/usr/", "/usr/lib/", "/lib -> /usr/lib"))), ["usr/", "usr/lib/", "usr/lib/x"]);
  assert.throws(() => plan(select("a.txt", "b.txt"), "/x", viewOf()), /When using COPY with more than one source file, the destination must be a directory and end with a \//);
  assert.throws(() => plan(select("a.txt"), "/x/", viewOf("/x")), /failed to copy files: .*: not a directory/);
  assert.throws(() => plan(select("a.txt"), "/x/y", viewOf("/x")), /not a directory/);
});

test("a directory gives its contents; existing directories stay as they are, new ones get the owner", () => {
  const made = plan(select("dir"), "/home/app", viewOf("/home/"), { owner: { uid: 1, gid: 2 } });
  assert.deepEqual(paths(made), ["home/", "home/app/", "home/app/c", "home/app/sub/", "home/app/sub/d"]);
  const by = Object.fromEntries(made.map((e) => [e.path, [e.mode, e.uid, e.gid, e.mtimeNs]]));
  assert.deepEqual(by["home"], [0o750, 3, 4, 9n]);
  assert.deepEqual(by["home/app"], [0o755, 1, 2, 100n]);
  assert.deepEqual(by["home/app/c"], [0o644, 1, 2, 5n]);
  assert.deepEqual(plan(select("dir"), "/", viewOf())[0]!.uid, 0, "copies belong to root");
  assert.deepEqual(plan(select("dir"), "/", viewOf(), { mode: 0o600 }).map((e) => e.mode), [0o600, 0o600, 0o600]);
  assert.throws(() => plan(select("dir"), "/x", viewOf("/x")), /failed to copy directory/);
  assert.deepEqual(paths(plan(select("dir"), "/x", viewOf(), { include: (path) => path !== "sub" && path !== "c" })), ["x/", "x/sub/", "x/sub/d"]);
});

test("an extracted archive keeps its owners", () => {
  const archive: CopySource = { node: CONTEXT.root, name: "a.tar", content, asIs: true };
  assert.equal(plan([archive], "/x", viewOf()).find((e) => e.path === "x/a.txt")!.uid, 7);
  assert.equal(plan([archive], "/x", viewOf(), { owner: { uid: 1, gid: 1 } }).find((e) => e.path === "x/a.txt")!.uid, 1);
});

test("names of one file stay links; a later source replaces an earlier one", () => {
  const tree = treeOf(entry("one"), entry("two", { type: "link", linkName: "./one" }));
  const both = plan([{ node: tree.root, name: "", content }], "/", viewOf());
  assert.deepEqual(both.map((e) => [e.path, e.type, e.linkName]), [["one", "file", ""], ["two", "link", "one"]]);
  const [two] = selectSources(tree.root, ["two"], { instruction: "COPY", content });
  assert.equal(plan([two!], "/z", viewOf())[0]!.type, "file");
  const over: CopySource = { node: treeOf(entry("sub", { mode: 0o600 })).root, name: "", content };
  assert.deepEqual(paths(plan([...select("dir"), over], "/x/", viewOf())), ["x/", "x/c", "x/sub"]);
  assert.throws(() => plan([{ node: treeOf(entry(".wh.x")).root, name: "", content }], "/", viewOf()), /\.wh\./);
});

test("WORKDIR makes what is missing", () => {
  assert.deepEqual(paths(planDirectory("/a/b", viewOf("/a/"), 1n)), ["a/", "a/b/"]);
  assert.deepEqual(planDirectory("/a", viewOf("/a/"), 1n), []);
  assert.deepEqual(planDirectory("/", viewOf(), 1n), []);
  assert.throws(() => planDirectory("/a", viewOf("/a"), 1n), { message: "Cannot mkdir: /a is not a directory" });
});

test("the digest of a source: content, modes and names count, times and owners do not", () => {
  const digest = (...entries: SourceEntry[]) => contentDigest(treeOf(...entries).root, () => true);
  const base = digest(entry("a"), entry("b"));
  assert.equal(digest(entry("b", { mtimeNs: 99n, uid: 1 }), entry("./a")), base);
  for (const other of [[entry("a")], [entry("a"), entry("c")], [entry("a", { mode: 0o755 }), entry("b")], [entry("a", { sha256: "bb" }), entry("b")], [entry("a", { type: "symlink", linkName: "b" }), entry("b")]]) {
    assert.notEqual(digest(...other), base);
  }
  assert.match(sourcesHash(select("dir"), null), /^dir:[0-9a-f]{64}$/);
  assert.match(sourcesHash(select("a.txt"), null), /^file:[0-9a-f]{64}$/);
  assert.match(sourcesHash(select("a.txt", "b.txt"), null), /^multi:[0-9a-f]{64}$/);
  assert.notEqual(sourcesHash(select("dir"), (path) => path !== "c"), sourcesHash(select("dir"), null));
});

test("names in a tree never lead out of it, and a tree is not changed by leaving names out", () => {
  const tree = treeOf(entry("../../x"), entry("/abs/y"), entry("z"));
  assert.ok(resolveNode(tree.root, "x"));
  assert.ok(resolveNode(tree.root, "abs/y"));
  const less = without(tree.root, ["z", "abs/y", "nothing/here"]);
  assert.equal(resolveNode(less, "z"), null);
  assert.equal(resolveNode(less, "abs/y"), null);
  assert.ok(resolveNode(tree.root, "z"));
  assert.equal(resolveNode(treeOf(entry("l", { type: "symlink", linkName: "l" })).root, "l"), null);
  assert.throws(() => treeOf(entry("h", { type: "link", linkName: "gone" })), /hard link to nothing/);
});
