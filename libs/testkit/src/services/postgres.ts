import { execFile } from "node:child_process";
import { chown, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { answers, freePort, ServiceProcess } from "./process.ts";
import type { TestService } from "./service.ts";

const run = promisify(execFile);
const VERSIONS = "/usr/lib/postgresql";
/** PostgreSQL refuses to run as root. */
const USER = "postgres";

/** Starts Debian's PostgreSQL on a fresh cluster with the database and user `gantry`, without fsync. */
export async function startPostgres(): Promise<TestService> {
  const bin = await binaries();
  const home = await mkdtemp(path.join(tmpdir(), "gantry-postgres-"));
  const port = await freePort();
  let server: ServiceProcess | null = null;
  const postgres: TestService = {
    url: `postgres://gantry@127.0.0.1:${port}/postgres`,
    get running() { return server?.running ?? false; },
    async start() {
      if (server?.running === true) return;
      const settings = {
        listen_addresses: "127.0.0.1", port: String(port), unix_socket_directories: "", fsync: "off", full_page_writes: "off",
        shared_buffers: "32MB", max_connections: "60", autovacuum: "off", max_wal_size: "256MB",
      };
      // Its shared memory is only given back when it ends by a signal that it can catch.
      server = new ServiceProcess({
        command: path.join(bin, "postgres"), args: ["-D", home, ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`])],
        user: USER, deathSignal: "QUIT", cwd: home,
      });
      // An SSLRequest is answered with one letter once connections are accepted.
      await server.ready("PostgreSQL", () => answers(port, "\0\0\0\x08\x04\xd2\x16\x2f", "N"));
    },
    async stop() { await server?.end("SIGINT"); },
    async kill() { await server?.end("SIGQUIT"); },
    async [Symbol.asyncDispose]() {
      await postgres.kill();
      await rm(home, { recursive: true, force: true });
    },
  };
  try {
    await initialize(bin, home);
    await postgres.start();
  } catch (error) {
    await postgres[Symbol.asyncDispose]();
    throw error;
  }
  return postgres;
}

async function initialize(bin: string, home: string): Promise<void> {
  const command = [path.join(bin, "initdb"), "-D", home, "-U", "gantry", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"];
  if (process.getuid?.() !== 0) return void (await run(command[0]!, command.slice(1)));
  const { stdout } = await run("id", ["-u", USER]);
  await chown(home, Number(stdout), -1);
  await run("setpriv", [`--reuid=${USER}`, `--regid=${USER}`, "--clear-groups", "--", ...command], { cwd: home });
}

/** The newest version's programs. */
async function binaries(): Promise<string> {
  const versions = (await readdir(VERSIONS).catch(() => [])).map(Number).filter(Number.isInteger).toSorted((a, b) => b - a);
  if (versions[0] === undefined) throw new Error(`${VERSIONS} is missing: install the Debian package postgresql`);
  return path.join(VERSIONS, String(versions[0]), "bin");
}
