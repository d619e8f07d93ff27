import { createReadStream, mkdtempSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { stat } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { Failed, run } from "./engine.ts";

/**
 * A flat apt repository with the packages that an image with the given dpkg status lacks, downloaded by this machine's apt and
 * served on `host` (the gateway address of a bridge). `sources` is the line for the image's sources.list.
 */
export async function serveAptRepository(options: { packages: readonly string[]; dpkgStatus: string; host: string }): Promise<AsyncDisposable & { readonly sources: string; readonly requests: string[] }> {
  const dir = mkdtempSync(join(tmpdir(), "gantry-apt-"));
  mkdirSync(join(dir, "archives", "partial"), { recursive: true });
  writeFileSync(join(dir, "status"), options.dpkgStatus);
  const download = () => run("apt-get", [
    "-q", "-y", "--no-install-recommends", "--download-only", "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root",
    "-o", `Dir::State::status=${join(dir, "status")}`, "-o", `Dir::Cache::archives=${join(dir, "archives")}`, "install", ...options.packages,
  ], { timeoutMs: 180_000 });
  let got = await download();
  if (got.code !== 0) {
    await run("apt-get", ["update", "-q"], { timeoutMs: 120_000 });
    got = await download();
  }
  if (got.code !== 0) throw new Failed(`apt could not download ${options.packages.join(" ")}: ${got.stderr}`);
  const index = await run("dpkg-scanpackages", ["-m", "."], { cwd: join(dir, "archives") });
  if (index.code !== 0) throw new Failed(`dpkg-scanpackages: ${index.stderr}`);
  writeFileSync(join(dir, "archives", "Packages"), index.stdout);

  const requests: string[] = [];
  const server = createServer((request, response) => {
    const name = basename(decodeURIComponent(request.url ?? ""));
    requests.push(name);
    const file = join(dir, "archives", name);
    stat(file).then(
      ({ size }) => createReadStream(file).pipe(response.writeHead(200, { "content-length": size })),
      () => response.writeHead(404).end(),
    );
  });
  await new Promise<void>((listening, reject) => server.on("error", reject).listen(0, options.host, listening));
  return {
    sources: `deb [trusted=yes] http://${options.host}:${(server.address() as AddressInfo).port}/ ./`,
    requests,
    async [Symbol.asyncDispose]() {
      await new Promise((closed) => { server.close(closed); server.closeAllConnections(); });
      rmSync(dir, { recursive: true });
    },
  };
}
