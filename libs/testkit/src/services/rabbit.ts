import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { freePort } from "./process.ts";
import { startServer, type ServerPlan } from "./server.ts";
import { infraFile, settingsOf } from "./settings.ts";
import type { TestService } from "./service.ts";

const SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/** What infra's rabbitmq.conf says of its machine: addresses, certificates, definitions, memory and disk. */
const OF_THE_PLACE = /^(listeners|ssl_options|load_definitions|vm_memory_high_watermark|disk_free_limit|raft\.wal_max_size_bytes)\b/;

export interface RabbitOptions {
  /** Settings of the `rabbit` application in Erlang's terms: `{ consumer_timeout: "1000" }`. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Loaded at every start, in this order, as from a directory that `load_definitions` names. */
  readonly definitions?: readonly object[];
}

export interface RabbitPlace extends RabbitOptions {
  readonly home: string;
  readonly address: string;
  readonly port: number;
  /** Of its Erlang port mapper, and of its distribution: both on loopback. */
  readonly mapperPort: number;
  readonly distributionPort: number;
}

/** Debian's RabbitMQ by itself, with an Erlang port mapper of its own. */
export function rabbitServer({ home, address, port, mapperPort, distributionPort, settings = {}, definitions = [] }: RabbitPlace): ServerPlan {
  if (!existsSync(SERVER)) throw new Error(`${SERVER} is missing: install the Debian package rabbitmq-server`);
  const env = {
    HOME: home,
    ERL_EPMD_PORT: String(mapperPort),
    ERL_EPMD_ADDRESS: "127.0.0.1",
    RABBITMQ_CONF_ENV_FILE: path.join(home, "none"),
    RABBITMQ_NODENAME: "gantry@localhost",
    RABBITMQ_CONFIG_FILE: path.join(home, "rabbitmq.conf"),
    RABBITMQ_ENABLED_PLUGINS_FILE: path.join(home, "enabled_plugins"),
    RABBITMQ_MNESIA_BASE: path.join(home, "data"),
    RABBITMQ_MNESIA_DIR: path.join(home, "data", "node"),
    RABBITMQ_LOG_BASE: path.join(home, "log"),
    // The script then becomes the server, rather than its parent.
    RUNNING_UNDER_SYSTEMD: "true",
    RABBITMQ_PID_FILE: path.join(home, "pid"),
    RABBITMQ_GENERATED_CONFIG_DIR: path.join(home, "generated"),
    RABBITMQ_DIST_PORT: String(distributionPort),
    RABBITMQ_SCHEDULER_BUSY_WAIT_THRESHOLD: "none",
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: [
      "-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false +S 2:2 +A 8",
      ...Object.entries(settings).map(([name, value]) => `-rabbit ${name} ${value}`),
    ].join(" "),
  };
  return {
    name: "rabbit",
    url: `amqp://guest:guest@${address}:${port}`,
    programs: [
      {
        name: "epmd", command: "epmd", args: ["-port", String(mapperPort), "-address", "127.0.0.1"], env,
        probe: { address: "127.0.0.1", port: mapperPort, greeting: "", expected: "" }, stopSignal: "SIGKILL", killSignal: "SIGKILL",
      },
      {
        name: "rabbit", command: SERVER, args: [], env, cwd: home,
        // An AMQP handshake is answered with Connection.Start: a method frame on channel 0.
        probe: { address, port, greeting: "AMQP\0\0\x09\x01", expected: "\x01\0\0" }, stopSignal: "SIGTERM", killSignal: "SIGKILL",
      },
    ],
    async prepare() {
      await mkdir(path.join(home, "log"));
      const directory = path.join(home, "definitions.d");
      await mkdir(directory);
      for (const [n, definition] of definitions.entries()) await writeFile(path.join(directory, `${n}.json`), JSON.stringify(definition));
      await writeFile(path.join(home, "rabbitmq.conf"), [
        `listeners.tcp.local = ${address}:${port}`,
        ...Object.entries(settingsOf(infraFile("rabbitmq", "rabbitmq.conf"))).filter(([name]) => !OF_THE_PLACE.test(name) && !Object.hasOwn(settings, name)).map(([name, value]) => `${name} = ${value}`),
        // By default this user may only come over loopback.
        "loopback_users = none",
        "log.file.level = warning",
        "log.console = false",
        "disk_free_limit.absolute = 10MB",
        ...(Object.hasOwn(settings, "vm_memory_high_watermark") ? [] : ["vm_memory_high_watermark.absolute = 600MB"]),
        "raft.wal_max_size_bytes = 16000000",
        ...(definitions.length > 0 ? [`load_definitions = ${directory}`] : []),
        "",
      ].join("\n"));
      await writeFile(path.join(home, "enabled_plugins"), "[].\n");
    },
  };
}

/** Starts a RabbitMQ on loopback. Takes some five seconds. */
export function startRabbit(options: RabbitOptions = {}): Promise<TestService> {
  return startServer("rabbit", async (home) => rabbitServer({
    home, address: "127.0.0.1", port: await freePort(), mapperPort: await freePort(), distributionPort: await freePort(), ...options,
  }), async () => {});
}
