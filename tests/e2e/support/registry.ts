import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "./engine.ts";

/** A port of loopback that is free now. */
export function freePort(): Promise<number> {
  return new Promise((done, reject) => {
    const server = createServer().on("error", reject).listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => done(port));
    });
  });
}

/** Debian's docker-registry on a free port of loopback. */
export async function startRegistry(): Promise<AsyncDisposable & { readonly address: string }> {
  const dir = mkdtempSync(join(tmpdir(), "gantry-registry-"));
  const address = `localhost:${await freePort()}`;
  writeFileSync(join(dir, "config.yml"), `version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: ${dir}/data\n  delete:\n    enabled: true\nhttp:\n  addr: ${address}\n`);
  const child = spawn("docker-registry", ["serve", join(dir, "config.yml")], { stdio: "ignore" });
  const exited = new Promise<void>((ended) => { child.on("exit", () => ended()); child.on("error", () => ended()); });
  await eventually("the registry to answer", () => fetch(`http://${address}/v2/`).then((r) => r.ok, () => false));
  return {
    address,
    async [Symbol.asyncDispose]() {
      child.kill();
      await exited;
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
