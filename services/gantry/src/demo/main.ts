/**
 * `npm run demo`: the main job on real input, from nothing to nothing. Starts a Gantry of its own, makes base images offline,
 * builds the examples with the stock docker command, runs both, fetches a page through the relay, shows the histories, removes all.
 */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const ROOT = resolve(import.meta.dirname, "../../../..");
const MAIN = join(ROOT, "services/gantry/bin/gantry.mjs");
const state = mkdtempSync(join(tmpdir(), "gantry-demo-"));
const env = { ...process.env, DOCKER_HOST: `unix://${join(state, "run", "docker.sock")}`, DOCKER_BUILDKIT: "0", DOCKER_CONFIG: join(state, "docker-config") };
const started = performance.now();

function say(text: string): void {
  process.stdout.write(`\n== ${text}  [${((performance.now() - started) / 1000).toFixed(1)} s]\n`);
}

/** Shows a command and runs it; its failure ends the demo. Answers what it printed. */
function show(words: string): Promise<string> {
  process.stdout.write(`$ ${words}\n`);
  const [command, ...args] = words.split(" ");
  return run(command!, args, false);
}

function run(command: string, args: readonly string[], quiet: boolean): Promise<string> {
  return new Promise((done, reject) => {
    const child = spawn(command, args, { cwd: ROOT, env, stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => {
      output += chunk.toString();
      if (!quiet) process.stdout.write(chunk);
    });
    child.on("error", reject);
    child.on("close", (code) => (code === 0 ? done(output) : reject(new Error(`${command} ${args.join(" ")} ended with ${code}`))));
  });
}

function startEngine(): Promise<() => Promise<void>> {
  const child = spawn(process.execPath, [MAIN, "up", "--state-dir", state], { cwd: ROOT, env, stdio: ["ignore", "pipe", "inherit"] });
  const exited = new Promise<void>((ended) => child.on("exit", () => ended()));
  return new Promise((ready, reject) => {
    let output = "";
    let told = false;
    child.stdout.on("data", (chunk: Buffer) => {
      output += chunk.toString();
      const line = /^DOCKER_HOST=.*$/m.exec(output);
      if (line && !told) {
        told = true;
        process.stdout.write(`${line[0]}\n`);
        ready(async () => { child.kill("SIGINT"); await exited; });
      }
    });
    child.on("exit", (code) => reject(new Error(`gantry up ended with ${code} before it was ready`)));
  });
}

/** The page that the relay serves, as soon as both services listen. */
async function page(url: string): Promise<string> {
  const end = Date.now() + 20_000;
  for (;;) {
    try {
      const response = await fetch(url, { signal: AbortSignal.timeout(5_000) });
      const text = await response.text();
      if (response.ok) return text;
      if (Date.now() > end) throw new Error(`${url} answered ${response.status}: ${text}`);
    } catch (e) {
      if (Date.now() > end) throw e;
    }
    await new Promise((r) => setTimeout(r, 50));
  }
}

async function demo(): Promise<void> {
  say("Starting Gantry: every service in one process");
  const stop = await startEngine();
  try {
    say("Base images from Debian packages, without a registry (the first time this takes half a minute)");
    process.stdout.write("$ gantry base node\n");
    await run(process.execPath, [MAIN, "base", "node"], false);
    await show("docker images");

    say("Building the lecture's two services");
    await show("docker build -t pinger examples/pinger");
    await show("docker build -t pingrelay examples/pingrelay");
    say("Building again: every step comes from the cache");
    await show("docker build -t pinger examples/pinger");

    say("Running both on a network of their own; the relay's port is published");
    await show("docker network create lecture");
    await show("docker run -d --name pinger --network lecture pinger");
    await show("docker run -d --name pingrelay --network lecture -p 127.0.0.1::8894 pingrelay");
    await show("docker ps");
    const address = (await show("docker port pingrelay 8894/tcp")).trim();
    process.stdout.write(`$ curl http://${address}/\n${await page(`http://${address}/`)}`);
    process.stdout.write(`$ curl http://${address}/\n${await page(`http://${address}/`)}`);
    await show("docker logs pinger");

    say("Two histories; the lower rows, from USER node down, are the same images, stored once");
    await show("docker history pinger");
    await show("docker history pingrelay");
    const layers = async (name: string) => JSON.parse(await run("docker", ["image", "inspect", "-f", "{{json .RootFS.Layers}}", name], true)) as string[];
    const [a, b] = [await layers("pinger"), await layers("pingrelay")];
    const shared = a.filter((layer) => b.includes(layer));
    process.stdout.write(`${shared.length} of ${a.length} layers are shared: ${shared.map((l) => l.slice(7, 19)).join(", ")}\n`);

    say("Stopping and removing everything");
    await show("docker rm -f pinger pingrelay");
    await show("docker network rm lecture");
    await show("docker rmi pinger pingrelay");
    await show("docker ps -a");
  } finally {
    await stop();
    const down = spawnSync(process.execPath, [MAIN, "down", "--purge", "--state-dir", state], { cwd: ROOT, stdio: "inherit" });
    if (down.status !== 0) process.exitCode = 1;
    rmSync(state, { recursive: true, force: true });
  }
  say("Done");
}

await demo().catch((e: unknown) => {
  process.stderr.write(`demo: ${e instanceof Error ? e.message : String(e)}\n`);
  process.exitCode = 1;
});
