import assert from "node:assert/strict";
import { test } from "node:test";
import { DetachScanner, parseDetachKeys } from "./detach-keys.ts";
import { readExecConfig } from "./exec-config.ts";
import { afterProbe, intervalOf, probeCommand, type Health } from "./health.ts";
import { parseLogTime, parseTail } from "./log-query.ts";
import { portMap } from "./network-config.ts";
import { psArguments, psTable } from "./ps-table.ts";
import { restartDelay, startsWithAgent } from "./restart.ts";
import { blkioBytes, ioStat, keyed, netDev, statsBody, systemCpu } from "./stats.ts";

const ended = (over: object = {}) => ({ exitCode: 1, ranMs: 500, restartCount: 0, stoppedByUser: false, lastDelay: 0, ...over });

test("restart policies and Docker's back-off", () => {
  const always = { Name: "always", MaximumRetryCount: 0 } as const;
  assert.equal(restartDelay({ Name: "no", MaximumRetryCount: 0 }, ended()), null);
  assert.equal(restartDelay(always, ended({ exitCode: 0 })), 100);
  assert.equal(restartDelay(always, ended({ lastDelay: 100 })), 200);
  assert.equal(restartDelay(always, ended({ lastDelay: 51_200 })), 60_000);
  assert.equal(restartDelay(always, ended({ lastDelay: 51_200, ranMs: 10_000 })), 100);
  assert.equal(restartDelay(always, ended({ stoppedByUser: true })), null);
  const failures = { Name: "on-failure", MaximumRetryCount: 2 } as const;
  assert.equal(restartDelay(failures, ended({ exitCode: 0 })), null);
  assert.deepEqual([1, 2].map((restartCount) => restartDelay(failures, ended({ restartCount }))), [100, null]);
  const stopped = { startedBefore: true, stoppedByUser: true, exitCode: 0, restartCount: 0 };
  assert.equal(startsWithAgent(always, stopped), true);
  assert.equal(startsWithAgent({ Name: "unless-stopped", MaximumRetryCount: 0 }, stopped), false);
  assert.equal(startsWithAgent(always, { ...stopped, startedBefore: false }), false);
});

test("detach keys are found across chunks, and what only begins like them is passed on", () => {
  const keys = parseDetachKeys("");
  const scanner = new DetachScanner(keys);
  assert.deepEqual(scanner.scan(Buffer.from("ab\x10")), { pass: Buffer.from("ab"), detached: false });
  assert.deepEqual(scanner.scan(Buffer.from("x")), { pass: Buffer.from("\x10x"), detached: false });
  assert.deepEqual(scanner.scan(Buffer.from("\x10\x10\x11more")), { pass: Buffer.from("\x10"), detached: true });
  assert.deepEqual([...parseDetachKeys("ctrl-a,x,ctrl-@")], [1, 120, 0]);
  assert.throws(() => parseDetachKeys("ctrl-1"), { message: "Invalid detach keys (ctrl-1) provided" });
});

test("docker top keeps the container's processes", () => {
  const table = psTable("UID   PID  PPID CMD\nroot    1     0 init\nroot   42     1 sleep 10 20\n", new Set([42]));
  assert.deepEqual(table, { Titles: ["UID", "PID", "PPID", "CMD"], Processes: [["root", "42", "1", "sleep 10 20"]] });
  assert.throws(() => psTable("A B\n", new Set()), { message: "Couldn't find PID field in ps output" });
  assert.deepEqual([psArguments(""), psArguments("aux")], [["-ef"], ["aux"]]);
  assert.throws(() => psArguments("-o uid=PID,pid=x"), { code: "INVALID" });
});

test("health: failures count after the start period, and as many as retries are unhealthy", () => {
  const config = { Test: ["CMD-SHELL", "check"], Interval: 1e9, Timeout: 0, StartPeriod: 10e9, StartInterval: 2e9, Retries: 2 };
  const result = (ExitCode: number) => ({ Start: "", End: "", ExitCode, Output: "" });
  let health: Health = { Status: "starting", FailingStreak: 0, Log: [] };
  health = afterProbe(config, health, result(1), 5_000);
  assert.deepEqual([health.Status, health.FailingStreak], ["starting", 0]);
  health = afterProbe(config, health, result(0), 6_000);
  assert.equal(health.Status, "healthy");
  health = afterProbe(config, afterProbe(config, health, result(1), 7_000), result(1), 8_000);
  assert.deepEqual([health.Status, health.FailingStreak], ["unhealthy", 2]);
  assert.deepEqual([intervalOf(config, "starting", 1), intervalOf(config, "healthy", 1), intervalOf(config, "starting", 20_000)], [2_000, 1_000, 1_000]);
  assert.deepEqual([probeCommand(config, null), probeCommand({ ...config, Test: ["CMD", "a", "b"] }, null)], [["/bin/sh", "-c", "check"], ["a", "b"]]);
});

test("log queries", () => {
  assert.deepEqual([parseTail("all"), parseTail("5"), parseTail("-1"), parseTail(null)], [null, 5, null, null]);
  assert.deepEqual([parseLogTime("0", "since"), parseLogTime("12.5", "since"), parseLogTime("2026-01-01T00:00:00Z", "since")], [null, 12_500_000_000n, 1_767_225_600_000_000_000n]);
  assert.throws(() => parseLogTime("soon", "since"), { code: "INVALID" });
});

test("published ports as inspect shows them; exec configs", () => {
  assert.deepEqual(portMap([{ hostIp: "0.0.0.0", hostPort: 80, containerPort: 8080, protocol: "tcp" }, { hostIp: "::", hostPort: 80, containerPort: 8080, protocol: "tcp" }]),
    { "8080/tcp": [{ HostIp: "0.0.0.0", HostPort: "80" }, { HostIp: "::", HostPort: "80" }] });
  assert.throws(() => readExecConfig({ Cmd: [] }), { message: "No exec command specified" });
  assert.throws(() => readExecConfig({ Cmd: ["a\0"] }), { code: "INVALID" });
  assert.deepEqual(readExecConfig({ Cmd: ["a"], ConsoleSize: [24, 80] }).ConsoleSize, [24, 80]);
});

test("statistics from cgroup and network files", () => {
  assert.deepEqual(keyed("cache 1\nrss 2\n"), { cache: 1, rss: 2 });
  assert.deepEqual(ioStat("8:0 rbytes=5 wbytes=6 rios=1\n"), [{ major: 8, minor: 0, op: "read", value: 5 }, { major: 8, minor: 0, op: "write", value: 6 }]);
  assert.deepEqual(blkioBytes("8:0 Read 5\n8:0 Total 9\nTotal 9\n"), [{ major: 8, minor: 0, op: "read", value: 5 }]);
  const net = netDev("Inter-| Receive\n face |bytes\n  eth0: 10 1 0 0 0 0 0 0 20 2 0 0 0 0 0 0\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n");
  assert.deepEqual(net, { eth0: { rx_bytes: 10, rx_packets: 1, rx_errors: 0, rx_dropped: 0, tx_bytes: 20, tx_packets: 2, tx_errors: 0, tx_dropped: 0 } });
  assert.equal(systemCpu("cpu  1 2 3 4 5 6 7 8 9 10\n"), 360_000_000);
  const body = statsBody({ id: "i", name: "n" }, null, null);
  assert.deepEqual([body["read"], body["memory_stats"]], ["0001-01-01T00:00:00Z", {}]);
});
