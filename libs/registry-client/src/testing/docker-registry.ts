import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { request } from "undici";

export interface TestRegistry extends AsyncDisposable {
  /** `127.0.0.1:port` */
  readonly address: string;
}

/** Debian's docker-registry on a free loopback port, with its files in a temporary directory. */
export async function startDockerRegistry(): Promise<TestRegistry> {
  const dir = await mkdtemp(join(tmpdir(), "gantry-registry-"));
  const port = await freePort();
  const address = `127.0.0.1:${port}`;
  const config = join(dir, "config.yml");
  await writeFile(config, `version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: ${dir}/data}, delete: {enabled: true}}\nhttp: {addr: ${address}}\n`);
  const child = spawn("/usr/bin/docker-registry", ["serve", config], { stdio: "ignore" });
  const exited = once(child, "exit");
  const stop = async (): Promise<void> => {
    child.kill();
    await exited;
    await rm(dir, { recursive: true, force: true });
  };
  for (let tries = 0; ; tries++) {
    try {
      const answer = await request(`http://${address}/v2/`);
      await answer.body.dump();
      return { address, [Symbol.asyncDispose]: stop };
    } catch (e) {
      if (tries > 200 || child.exitCode !== null) {
        await stop();
        throw e;
      }
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const at = server.address();
  server.close();
  await once(server, "close");
  if (at === null || typeof at === "string") throw new Error("no port");
  return at.port;
}
