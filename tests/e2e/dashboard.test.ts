/** The dashboard in a real browser, opened with the token that the start prints; the stock docker command changes what it shows. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { tempDir } from "@gantry/testkit";
import { chromium, type Page } from "playwright-core";
import { Engine } from "./support/engine.ts";

/** Chromium is kept from looking for hosts of its own. */
const ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
/** What is asked of the dashboard: a change appears within a second. */
const APPEARS_MS = 1_000;

const scope = new AsyncDisposableStack();
const dir = tempDir(scope);
let engine: Engine;
let page: Page;
const foreign: string[] = [];
const faults: string[] = [];
before(async () => {
  engine = scope.use(await Engine.start());
  await engine.loadBase("busybox");
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ARGS });
  scope.defer(() => browser.close());
  page = await browser.newPage();
  page.on("request", (request) => { if (new URL(request.url()).host !== engine.dashboards[0]!.host) foreign.push(request.url()); });
  page.on("pageerror", (error) => faults.push(error.message));
});
after(() => scope.disposeAsync());

const row = (id: string) => page.locator(`tr[data-container="${id}"]`);

test("the printed address opens it: live, one node, no other host asked, the token gone from the address", async () => {
  await page.goto(engine.dashboards[0]!.href);
  await page.locator(".connection.live").waitFor();
  assert.equal(await page.locator("[data-node]").count(), 1);
  assert.equal(new URL(page.url()).search, "");
  assert.deepEqual(foreign, []);
});

test("a container appears within a second of its start, and changes and goes with it", async () => {
  const id = await engine.ok(["run", "-d", "--name", "seen", "-p", "127.0.0.1::80", "busybox", "sleep", "1000"]);
  await row(id).getByText("running", { exact: true }).waitFor({ timeout: APPEARS_MS });
  assert.match(await row(id).innerText(), /seen[^]*busybox[^]*->80\/tcp/);
  await engine.ok(["kill", "seen"]);
  await row(id).getByText("exit code 137").waitFor({ timeout: APPEARS_MS });
  await engine.ok(["rm", "seen"]);
  await row(id).waitFor({ state: "detached", timeout: APPEARS_MS });
});

test("builds, with the error of one that failed", async () => {
  mkdirSync(join(dir, "context"));
  writeFileSync(join(dir, "context", "Dockerfile"), "FROM busybox\nRUN exit 7\n");
  assert.equal((await engine.docker(["build", "-t", "broken:1", join(dir, "context")])).code, 7);
  const build = page.locator("tr[data-build]").filter({ hasText: "broken:1" });
  await build.getByText("failed", { exact: true }).waitFor({ timeout: APPEARS_MS });
  assert.match(await build.innerText(), /returned a non-zero code: 7/);
});

test("it says when the engine is away, and catches up with what happened meanwhile", async () => {
  const id = await engine.ok(["run", "-d", "--name", "stays", "busybox", "sleep", "1000"]);
  await row(id).waitFor({ timeout: APPEARS_MS });
  const { port } = engine.dashboards[0]!;
  await engine.stop("SIGKILL");
  await page.locator(".connection.lost").waitFor();
  await engine.up({ args: ["--listen", `127.0.0.1:${port}`] });
  await engine.ok(["rm", "-f", "stays"]);
  await page.locator(".connection.live").waitFor();
  await row(id).waitFor({ state: "detached" });
  assert.deepEqual(faults, []);
});

test("without a token it is refused", async () => {
  const stranger = await page.context().browser()!.newContext();
  const answer = await (await stranger.newPage()).goto(new URL("/", engine.dashboards[0]).href);
  assert.equal(answer?.status(), 401);
  await stranger.close();
});
