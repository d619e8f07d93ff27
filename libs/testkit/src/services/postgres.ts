import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { appendFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { freePort } from "./process.ts";
import { startServer, type ServerPlan } from "./server.ts";
import { infraFile, settingsOf } from "./settings.ts";
import type { TestService } from "./service.ts";

const run = promisify(execFile);
const VERSIONS = "/usr/lib/postgresql";
/** PostgreSQL refuses to run as root. */
const USER = "postgres";

export interface PostgresPlace {
  /** Of the database cluster: a directory that the user `postgres` can reach. */
  readonly home: string;
  /** The same directory as this process sees it. */
  readonly homeFromHere?: string;
  readonly address: string;
  readonly port: number;
  /** Who besides loopback may connect, such as `10.1.2.0/24`. */
  readonly clients?: string;
}

/** Debian's PostgreSQL with the user `gantry` and infra's settings, but without fsync: its data survive it, not the machine. */
export function postgresServer({ home, homeFromHere = home, address, port, clients }: PostgresPlace): ServerPlan {
  const bin = binaries();
  const settings = {
    ...settingsOf(infraFile("postgresql", "gantry.conf")),
    listen_addresses: address, port: String(port), unix_socket_directories: "", fsync: "off", full_page_writes: "off",
    shared_buffers: "32MB", max_connections: "200", autovacuum: "off", max_wal_size: "256MB",
  };
  return {
    name: "postgres",
    url: `postgres://gantry@${address}:${port}/postgres`,
    programs: [{
      name: "postgres", command: path.join(bin, "postgres"), args: ["-D", home, ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`])],
      // Its shared memory is only given back when it ends by a signal that it can catch.
      user: USER, deathSignal: "QUIT",
      // An SSLRequest is answered with one letter once connections are accepted.
      probe: { address, port, greeting: "\0\0\0\x08\x04\xd2\x16\x2f", expected: "N" }, stopSignal: "SIGINT", killSignal: "SIGQUIT",
    }],
    async prepare(inPlace) {
      const command = [path.join(bin, "initdb"), "-D", home, "-U", "gantry", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"];
      if (process.getuid?.() === 0) {
        await inPlace("chown", [USER, home]);
        await inPlace("setpriv", [`--reuid=${USER}`, `--regid=${USER}`, "--clear-groups", "--", ...command]);
      } else {
        await inPlace(command[0]!, command.slice(1));
      }
      if (clients !== undefined) await appendFile(path.join(homeFromHere, "pg_hba.conf"), `host all all ${clients} trust\n`);
    },
  };
}

/** Starts a PostgreSQL on loopback. */
export function startPostgres(): Promise<TestService> {
  return startServer(
    "postgres", async (home) => postgresServer({ home, address: "127.0.0.1", port: await freePort() }),
    async (command, args) => { await run(command, args, { cwd: "/" }); },
  );
}

/** The newest version's programs. */
function binaries(): string {
  let names: string[];
  try {
    names = readdirSync(VERSIONS);
  } catch {
    names = [];
  }
  const newest = names.map(Number).filter(Number.isInteger).toSorted((a, b) => b - a)[0];
  if (newest === undefined) throw new Error(`${VERSIONS} is missing: install the Debian package postgresql`);
  return path.join(VERSIONS, String(newest), "bin");
}
