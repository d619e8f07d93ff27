import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { answers, freePort, ServiceProcess } from "./process.ts";
import type { TestService } from "./service.ts";

const SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server";

export interface RabbitOptions {
  /** Settings of the `rabbit` application in Erlang's terms: `{ consumer_timeout: "1000" }`. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** Starts Debian's RabbitMQ by itself: own Erlang port mapper, all of it on loopback. Takes some five seconds. */
export async function startRabbit({ settings = {} }: RabbitOptions = {}): Promise<TestService> {
  if (!existsSync(SERVER)) throw new Error(`${SERVER} is missing: install the Debian package rabbitmq-server`);
  const home = await mkdtemp(path.join(tmpdir(), "gantry-rabbit-"));
  const rabbit = new Rabbit(home, await freePort(), await freePort(), await freePort(), settings);
  try {
    await rabbit.prepare();
    await rabbit.start();
  } catch (error) {
    await rabbit[Symbol.asyncDispose]();
    throw error;
  }
  return rabbit;
}

class Rabbit implements TestService {
  readonly url: string;
  readonly #home: string;
  readonly #port: number;
  readonly #mapperPort: number;
  readonly #distributionPort: number;
  readonly #settings: Readonly<Record<string, string>>;
  #mapper: ServiceProcess | null = null;
  #server: ServiceProcess | null = null;

  constructor(home: string, port: number, mapperPort: number, distributionPort: number, settings: Readonly<Record<string, string>>) {
    this.url = `amqp://guest:guest@127.0.0.1:${port}`;
    this.#home = home;
    this.#port = port;
    this.#mapperPort = mapperPort;
    this.#distributionPort = distributionPort;
    this.#settings = settings;
  }

  get running(): boolean { return this.#server?.running ?? false; }

  async prepare(): Promise<void> {
    await mkdir(path.join(this.#home, "log"));
    await writeFile(path.join(this.#home, "rabbitmq.conf"), [
      `listeners.tcp.local = 127.0.0.1:${this.#port}`,
      "log.file.level = warning",
      "log.console = false",
      "disk_free_limit.absolute = 10MB",
      "vm_memory_high_watermark.absolute = 600MB",
      "raft.wal_max_size_bytes = 16000000",
      "",
    ].join("\n"));
    await writeFile(path.join(this.#home, "enabled_plugins"), "[].\n");
  }

  async start(): Promise<void> {
    if (this.running) return;
    const env = {
      HOME: this.#home,
      ERL_EPMD_PORT: String(this.#mapperPort),
      ERL_EPMD_ADDRESS: "127.0.0.1",
      RABBITMQ_CONF_ENV_FILE: path.join(this.#home, "none"),
      RABBITMQ_NODENAME: "gantry@localhost",
      RABBITMQ_CONFIG_FILE: path.join(this.#home, "rabbitmq.conf"),
      RABBITMQ_ENABLED_PLUGINS_FILE: path.join(this.#home, "enabled_plugins"),
      RABBITMQ_MNESIA_BASE: path.join(this.#home, "data"),
      RABBITMQ_MNESIA_DIR: path.join(this.#home, "data", "node"),
      RABBITMQ_LOG_BASE: path.join(this.#home, "log"),
      // The script then becomes the server, rather than its parent.
      RUNNING_UNDER_SYSTEMD: "true",
      RABBITMQ_PID_FILE: path.join(this.#home, "pid"),
      RABBITMQ_GENERATED_CONFIG_DIR: path.join(this.#home, "generated"),
      RABBITMQ_DIST_PORT: String(this.#distributionPort),
      RABBITMQ_SCHEDULER_BUSY_WAIT_THRESHOLD: "none",
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: [
        "-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false +S 2:2 +A 8",
        ...Object.entries(this.#settings).map(([name, value]) => `-rabbit ${name} ${value}`),
      ].join(" "),
    };
    if (this.#mapper?.running !== true) {
      this.#mapper = new ServiceProcess({ command: "epmd", args: ["-port", String(this.#mapperPort), "-address", "127.0.0.1"], env });
      await this.#mapper.ready("epmd", () => answers(this.#mapperPort, "", ""));
    }
    this.#server = new ServiceProcess({ command: SERVER, args: [], env, cwd: this.#home });
    // An AMQP handshake is answered with Connection.Start: a method frame on channel 0.
    await this.#server.ready("RabbitMQ", () => answers(this.#port, "AMQP\0\0\x09\x01", "\x01\0\0"));
  }

  async stop(): Promise<void> { await this.#server?.end("SIGTERM", 30_000); }
  async kill(): Promise<void> { await this.#server?.end("SIGKILL"); }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await this.#mapper?.end("SIGKILL");
    await rm(this.#home, { recursive: true, force: true, maxRetries: 3 });
  }
}
