import { createHash } from "node:crypto";
import { join } from "node:path";
import type { Identity } from "@gantry/http";
import type { ServerPlan } from "@gantry/testkit";
import { postgresServer, rabbitServer, redisServer } from "@gantry/testkit";
import { MAIN } from "../support/command.ts";

/** What a testbed consists of; all else follows from it. */
export interface Layout {
  /** Absolute: everything of the testbed is in it. */
  readonly dir: string;
  /** Five letters and digits that each name outside of the directory carries: bridge, links, cgroups. */
  readonly tag: string;
  /** The first three bytes of its addresses. */
  readonly subnet: string;
  readonly agents: number;
  readonly workers: number;
  readonly schedulers: number;
  readonly logLevel: string;
  /** Ends with the process that made it. */
  readonly owned: boolean;
  /** Variables for services, besides and before those they are given here: of all (`*`) or by name. */
  readonly env: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

export interface HostPlan {
  readonly name: string;
  readonly address: string;
  /** The machine's end of its cable. */
  readonly link: string;
  /** Its own directory. */
  readonly dir: string;
  readonly cgroupParent: string;
  /** Directories of it that are seen elsewhere on the host: from → to. */
  readonly binds: Readonly<Record<string, string>>;
}

/** What a process shows to others, and is reached at. */
export interface CertificatePlan {
  readonly identity: Identity;
  readonly hosts: readonly string[];
}

export interface ProcessPlan {
  readonly name: string;
  readonly host: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Issued with the name of the process into `certificatesOf`; null: it has none. */
  readonly certificate: CertificatePlan | null;
}

export const CONTROL = "control";
const PORTS = { rabbit: 5672, epmd: 4369, distribution: 25672, postgres: 5432, redis: 6379, imageStore: 7001, build: 7002, agent: 7003 };
/** Where the control host sees the database's directory: one that the user `postgres` can reach, wherever the testbed is. */
const POSTGRES_HOME = "/var/lib/postgresql";

export const bridgeOf = ({ tag }: Layout): string => `gtb-${tag}`;
export const machineAddress = ({ subnet }: Layout): string => `${subnet}.1`;
export const tableOf = ({ tag }: Layout): string => `gantry_testbed_${tag}`;
export const socketOf = ({ dir }: Layout): string => join(dir, "docker.sock");
export const metricsSocketOf = ({ dir }: Layout, process: string): string => join(dir, `${process}.metrics.sock`);
export const ownerOf = ({ dir, owned }: Layout): string | null => (owned ? join(dir, "owner") : null);
/** Directory of the fleet's CA and certificates. */
export const certificatesOf = ({ dir }: Layout): string => join(dir, "certs");
export const logOf = ({ dir }: Layout, process: string): string => join(dir, "logs", `${process}.log`);

const numbered = (name: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${name}-${i + 1}`);

/** `control` with brokers and control services, then one for each build worker and node agent, named as these. */
export function hostsOf(layout: Layout): HostPlan[] {
  return [CONTROL, ...numbered("worker", layout.workers), ...numbered("agent", layout.agents)].map((name, i) => {
    const dir = join(layout.dir, "hosts", name);
    return {
      name, dir, address: `${layout.subnet}.${i + 2}`, link: `gt${layout.tag}-${i + 1}`, cgroupParent: `gantry-testbed-${layout.tag}-${name}`,
      binds: name === CONTROL ? { [join(dir, "postgres")]: POSTGRES_HOME } : {},
    };
  });
}

const addressOf = (layout: Layout, host: string): string => hostsOf(layout).find(({ name }) => name === host)!.address;

/** RabbitMQ, PostgreSQL and Redis on the control host. */
export function brokersOf(layout: Layout): ServerPlan[] {
  const address = addressOf(layout, CONTROL);
  const home = (name: string) => join(layout.dir, "hosts", CONTROL, name);
  return [
    rabbitServer({ home: home("rabbit"), address, port: PORTS.rabbit, mapperPort: PORTS.epmd, distributionPort: PORTS.distribution }),
    postgresServer({ home: POSTGRES_HOME, homeFromHere: home("postgres"), address, port: PORTS.postgres, clients: `${layout.subnet}.0/24` }),
    redisServer({ home: home("redis"), address, port: PORTS.redis }),
  ];
}

/** The services, each `gantry <service>` in a process of its own. */
export function servicesOf(layout: Layout): ProcessPlan[] {
  const [rabbit, postgres, redis] = brokersOf(layout).map(({ url }) => url);
  const shared: Record<string, string> = { GANTRY_BUS_URL: rabbit!, GANTRY_DATABASE_URL: postgres!, GANTRY_CACHE_URL: redis!, GANTRY_LOG_LEVEL: layout.logLevel };
  const imageStore = `https://${addressOf(layout, CONTROL)}:${PORTS.imageStore}`;
  const service = (name: string, kind: string, host: string, identity: Identity | null, env: Record<string, string>): ProcessPlan => ({
    name, host, command: process.execPath, args: [MAIN, kind],
    env: { ...layout.env["*"], ...layout.env[name], ...shared, GANTRY_METRICS_LISTEN: `unix:${metricsSocketOf(layout, name)}`, ...(identity === null ? {} : tlsOf(layout, name)), ...env },
    certificate: identity === null ? null : { identity, hosts: [addressOf(layout, host)] },
  });
  const onHost = (host: string) => {
    const { dir, cgroupParent } = hostsOf(layout).find(({ name }) => name === host)!;
    return { GANTRY_STATE_DIR: join(dir, "state"), GANTRY_CGROUP_PARENT: cgroupParent, GANTRY_INSTANCE: instanceOf(layout, host), GANTRY_IMAGE_STORE: imageStore };
  };
  return [
    service("image-store", "image-store", CONTROL, "service/image-store", {
      GANTRY_LISTEN: `${addressOf(layout, CONTROL)}:${PORTS.imageStore}`, GANTRY_BLOB_DIR: join(layout.dir, "hosts", CONTROL, "blobs"),
    }),
    ...numbered("scheduler", layout.schedulers).map((name) => service(name, "scheduler", CONTROL, null, {})),
    ...numbered("agent", layout.agents).map((name) => service(name, "node-agent", name, `node/${name}`, {
      ...onHost(name), GANTRY_NODE_ID: name, GANTRY_LISTEN: `${addressOf(layout, name)}:${PORTS.agent}`,
    })),
    ...numbered("worker", layout.workers).map((name) => service(name, "build", name, "service/build", {
      ...onHost(name), GANTRY_WORKER: name, GANTRY_LISTEN: `${addressOf(layout, name)}:${PORTS.build}`,
    })),
    service("api", "api", CONTROL, "service/api", {
      GANTRY_LISTEN: `unix:${socketOf(layout)}`, GANTRY_IMAGE_STORE: imageStore, GANTRY_INSTANCE: instanceOf(layout, CONTROL), GANTRY_ROOT_DIR: layout.dir,
    }),
  ];
}

/** What a process of the testbed, or a client in its place, is given to speak TLS. */
export function tlsOf(layout: Layout, name: string): Record<string, string> {
  const dir = certificatesOf(layout);
  return { GANTRY_TLS_CA: join(dir, "ca.pem"), GANTRY_TLS_CERT: join(dir, `${name}.pem`), GANTRY_TLS_KEY: join(dir, `${name}-key.pem`) };
}

/** Everything that runs, brokers first. */
export function processesOf(layout: Layout): ProcessPlan[] {
  const brokers = brokersOf(layout).flatMap(({ programs }) => programs).map(({ name, command, args, env = {}, user }): ProcessPlan => ({
    name, host: CONTROL, env: { LANG: "C.UTF-8", ...env }, certificate: null,
    ...(user === undefined ? { command, args } : { command: "setpriv", args: [`--reuid=${user}`, `--regid=${user}`, "--clear-groups", "--", command, ...args] }),
  }));
  return [...brokers, ...servicesOf(layout)];
}

function instanceOf(layout: Layout, host: string): string {
  return createHash("sha256").update(`${layout.tag} ${host}`).digest("hex").slice(0, 8);
}
