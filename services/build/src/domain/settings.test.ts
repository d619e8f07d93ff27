import assert from "node:assert/strict";
import { test } from "node:test";
import { parseTrigger } from "@gantry/dockerfile";
import type { RunConfig } from "@gantry/oci";
import { applyInstruction, nopCreatedBy } from "./apply.ts";
import { StageArgs, unusedArgs } from "./build-args.ts";
import { quote } from "./go-format.ts";
import { parseMode, parseOwner } from "./owner.ts";
import { parseExposedPorts } from "./ports.ts";
import { runCommand } from "./run-command.ts";

const apply = (text: string, run: RunConfig = {}, cmdSet = false) => applyInstruction(run, parseTrigger(text), cmdSet);

/** Each comment was read from dockerd 20.10's own history. */
test("comments are Docker's to the letter", () => {
  const cases: [string, string][] = [
    ["ARG FOO=bar", "ARG FOO=bar"], ["ARG UNUSED", "ARG UNUSED"], ["ENV A=1 B=two", "ENV A=1 B=two"], ["LABEL l1=x l2=y", "LABEL l1=x l2=y"],
    ["MAINTAINER me@x", "MAINTAINER me@x"], ["WORKDIR /new/dir", "WORKDIR /new/dir"], ["USER node:node", "USER node:node"],
    ["EXPOSE 8893 443/tcp 53/udp", "EXPOSE 443/tcp 53/udp 8893"], ["VOLUME /data /b", "VOLUME [/data /b]"], ["VOLUME [\"/c\"]", "VOLUME [/c]"],
    ["STOPSIGNAL SIGKILL", "STOPSIGNAL SIGKILL"], ["SHELL [\"/bin/sh\", \"-ec\"]", "SHELL [/bin/sh -ec]"],
    ["HEALTHCHECK --interval=5m --timeout=3s --retries=3 CMD true || exit 1", "HEALTHCHECK &{[\"CMD-SHELL\" \"true || exit 1\"] \"5m0s\" \"3s\" \"0s\" '\\x03'}"],
    ["ENTRYPOINT [\"/bin/echo\", \"a\\tb\\\"é\"]", "ENTRYPOINT [\"/bin/echo\" \"a\\tb\\\"é\"]"],
    ["CMD node pinger.js", "CMD [\"/bin/sh\" \"-c\" \"node pinger.js\"]"], ["ONBUILD RUN echo trig", "ONBUILD RUN echo trig"],
  ];
  for (const [text, comment] of cases) assert.equal(apply(text).comment, comment, text);
  assert.equal(nopCreatedBy({}, "CMD [\"bash\"]", 2), "/bin/sh -c #(nop)  CMD [\"bash\"]");
  assert.equal(nopCreatedBy({ Shell: ["/bin/sh", "-ec"] }, "WORKDIR /x", 1), "/bin/sh -ec #(nop) WORKDIR /x");
});

test("settings change as Docker changes them", () => {
  assert.deepEqual(apply("ENV A=2 C=3", { Env: ["A=1", "B=1"] }).run.Env, ["A=2", "B=1", "C=3"]);
  assert.deepEqual(apply("CMD x", { Shell: ["/bin/bash", "-c"] }).run.Cmd, ["/bin/bash", "-c", "x"]);
  assert.deepEqual(apply("CMD [\"x\", \"y\"]").run.Cmd, ["x", "y"]);
  assert.equal(apply("ENTRYPOINT x", { Cmd: ["inherited"] }).run.Cmd, undefined, "an entrypoint drops the base's command");
  assert.deepEqual(apply("ENTRYPOINT x", { Cmd: ["own"] }, true).run.Cmd, ["own"]);
  assert.equal(apply("WORKDIR b", { WorkingDir: "/a" }).run.WorkingDir, "/a/b");
  assert.equal(apply("WORKDIR ../c/", { WorkingDir: "/a/b" }).run.WorkingDir, "/a/c");
  assert.deepEqual(apply("EXPOSE 8000-8002/udp", { ExposedPorts: { "1/tcp": {} } }).run.ExposedPorts, { "1/tcp": {}, "8000/udp": {}, "8001/udp": {}, "8002/udp": {} });
  assert.deepEqual(apply("VOLUME /a", { Volumes: { "/b": {} } }).run.Volumes, { "/a": {}, "/b": {} });
  assert.deepEqual(apply("LABEL a=2", { Labels: { a: "1", b: "1" } }).run.Labels, { a: "2", b: "1" });
  assert.deepEqual(apply("HEALTHCHECK NONE").run.Healthcheck, { Test: ["NONE"] });
  assert.deepEqual(apply("HEALTHCHECK --interval=1s CMD [\"a\"]").run.Healthcheck, { Test: ["CMD", "a"], Interval: 1e9 });
  assert.deepEqual(apply("ONBUILD RUN b", { OnBuild: ["RUN a"] }).run.OnBuild, ["RUN a", "RUN b"]);
  assert.equal(apply("MAINTAINER me").author, "me");
  assert.throws(() => apply("STOPSIGNAL FOO"), /^GantryError: Invalid signal: FOO$/);
  assert.throws(() => apply("EXPOSE abc"), /Invalid containerPort: abc/);
});

test("exposed ports", () => {
  assert.deepEqual(parseExposedPorts("80"), ["80/tcp"]);
  assert.deepEqual(parseExposedPorts("127.0.0.1:8080:80/UDP"), ["80/udp"]);
  for (const bad of ["", "x", "70000", "3-2", "80/icmp", "1-70000"]) assert.throws(() => parseExposedPorts(bad), { code: "INVALID" }, bad);
});

test("Go's %q", () => {
  assert.equal(quote("a\u0001\u007f\u200b\u{1f600}é\n"), '"a\\x01\\x7f\\u200b\u{1f600}é\\n"');
});

test("build arguments: given, default, global; hidden by ENV; proxies are silent", () => {
  const args = new StageArgs({ A: "given", HTTP_PROXY: "http://p", UNSET: null, NOT_DECLARED: "x" }, new Map([["G", "global"], ["B", "global"]]));
  args.declare("A", "default");
  args.declare("B", "default");
  args.declare("G", null);
  args.declare("UNSET", null);
  args.declare("E", "hidden");
  const values = args.values(["PATH=/bin", "E=env"]);
  assert.deepEqual(Object.fromEntries(values), { A: "given", B: "default", G: "global", HTTP_PROXY: "http://p" });
  assert.deepEqual(args.prefix(values), ["|3", "A=given", "B=default", "G=global"]);
  args.declare("HTTP_PROXY", null);
  assert.deepEqual(args.prefix(args.values([])), ["|5", "A=given", "B=default", "E=hidden", "G=global", "HTTP_PROXY=http://p"]);
  assert.deepEqual(new StageArgs({}, new Map()).prefix(new Map()), []);
  assert.deepEqual(unusedArgs({ B: "1", A: null, http_proxy: "x", C: "1" }, ["C"]), ["A", "B"]);
});

test("owners and modes of copies", () => {
  const passwd = "root:x:0:0::/:/bin/sh\nnode:x:1000:1001::/:/bin/sh\n";
  const group = "root:x:0:\nnode:x:1001:\nstaff:x:50:node\n";
  assert.deepEqual(parseOwner("", passwd, group), { uid: 0, gid: 0 });
  assert.deepEqual(parseOwner("node", passwd, group), { uid: 1000, gid: 1001 });
  assert.deepEqual(parseOwner("node:staff", passwd, group), { uid: 1000, gid: 50 });
  assert.deepEqual(parseOwner("5", null, null), { uid: 5, gid: 5 });
  assert.deepEqual(parseOwner("5:6", null, null), { uid: 5, gid: 6 });
  assert.throws(() => parseOwner("nope", passwd, group), { message: "unable to convert uid/gid chown string to host mapping: can't find uid for user nope: no such user: nope" });
  assert.throws(() => parseOwner("node:nope", passwd, group), /can't find gid for group nope/);
  assert.equal(parseMode(""), null);
  assert.equal(parseMode("1755"), 0o1755);
  assert.throws(() => parseMode("u+x"), /it should be octal string/);
});

test("what RUN runs", () => {
  const run = (text: string, config: RunConfig = {}) => {
    const instruction = parseTrigger(text);
    assert.ok(instruction.name === "RUN");
    return runCommand(config, instruction);
  };
  assert.deepEqual(run("RUN date > /x").args, ["/bin/sh", "-c", "date > /x"]);
  assert.deepEqual(run("RUN [\"a\", \"b\"]").args, ["a", "b"]);
  assert.deepEqual(run("RUN x", { Shell: ["/bin/bash", "-o", "pipefail", "-c"] }).args, ["/bin/bash", "-o", "pipefail", "-c", "x"]);
  assert.deepEqual(run("RUN <<EOF\na\nb\nEOF\n").args, ["/bin/sh", "-c", "a\nb\n"]);
  assert.deepEqual(run("RUN cat <<EOF >/x\na\nEOF\n").args, ["/bin/sh", "-c", "cat <<EOF >/x\na\nEOF"]);
  assert.deepEqual(run("RUN <<EOF\n#!/bin/awk -f\nx\nEOF\n"), { args: ["/dev/pipes/EOF"], script: { path: "/dev/pipes/EOF", text: "#!/bin/awk -f\nx\n" } });
});
