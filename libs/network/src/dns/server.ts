import dgram from "node:dgram";
import net from "node:net";
import { once } from "node:events";
import { closeSync } from "node:fs";
import { describeError, type Logger } from "@gantry/kernel";
import { answerLocally, RCODE, readQuery, refuse, refuseUnread } from "./message.ts";
import { Forwarder, parseServer, withLength, type HostResolvers, type Server } from "./upstream.ts";
import type { Zone } from "./zone.ts";

const MAX_TCP_CLIENTS = 64;
const TCP_IDLE_MS = 10_000;
/** Questions of one TCP client that wait for an answer. */
const MAX_PIPELINED = 32;

interface Serving { udp: dgram.Socket | null; tcp: net.Server | null; clients: Set<net.Socket>; servers: readonly Server[] | null }

/** One DNS server for each container, on the sockets that were bound inside its network namespace. */
export class DnsServers {
  readonly #zone: Zone;
  readonly #resolvers: HostResolvers;
  readonly #forwarder = new Forwarder();
  readonly #logger: Logger;
  readonly #serving = new Map<string, Serving>();

  constructor(zone: Zone, resolvers: HostResolvers, logger: Logger) {
    this.#zone = zone;
    this.#resolvers = resolvers;
    this.#logger = logger;
  }

  /** Contract: {@link HostNetwork.serveDns}. Replaces what served this container before. */
  async serve(options: { containerId: string; udpFd: number; tcpFd: number; servers: readonly string[] | null }): Promise<void> {
    await this.stop(options.containerId);
    const serving: Serving = {
      udp: null, tcp: null, clients: new Set(),
      servers: options.servers === null ? null : options.servers.flatMap((s) => parseServer(s) ?? []),
    };
    this.#serving.set(options.containerId, serving);
    try {
      await this.#listenUdp(options.containerId, serving, options.udpFd);
      await this.#listenTcp(options.containerId, serving, options.tcpFd);
    } catch (e) {
      // A socket that took its descriptor over closes it with itself.
      if (serving.udp === null) closeSync(options.udpFd);
      if (serving.tcp === null) closeSync(options.tcpFd);
      await this.stop(options.containerId);
      throw e;
    }
  }

  async stop(containerId: string): Promise<void> {
    const serving = this.#serving.get(containerId);
    if (serving === undefined) return;
    this.#serving.delete(containerId);
    for (const client of serving.clients) client.destroy();
    const { udp, tcp } = serving;
    await Promise.all([
      udp === null ? null : new Promise<void>((resolve) => udp.close(resolve)),
      tcp === null ? null : new Promise<void>((resolve) => tcp.close(() => resolve())),
    ]);
  }

  async stopAll(): Promise<void> {
    await Promise.all([...this.#serving.keys()].map((id) => this.stop(id)));
  }

  async #listenUdp(containerId: string, serving: Serving, fd: number): Promise<void> {
    const socket = dgram.createSocket("udp4");
    socket.on("message", (query, from) => {
      void this.#answer(containerId, serving, query, "udp").then((answer) => {
        if (answer !== null && serving.udp === socket && this.#serving.get(containerId) === serving) socket.send(answer, from.port, from.address, () => {});
      });
    });
    // For a descriptor the event comes within the call.
    const listening = once(socket, "listening");
    socket.bind({ fd });
    await listening;
    socket.on("error", (e) => this.#logger.warn({ containerId, cause: describeError(e) }, "DNS socket of a container failed"));
    socket.unref();
    serving.udp = socket;
  }

  async #listenTcp(containerId: string, serving: Serving, fd: number): Promise<void> {
    const server = net.createServer((client) => this.#serveClient(containerId, serving, client));
    server.maxConnections = MAX_TCP_CLIENTS;
    server.listen({ fd });
    await once(server, "listening");
    server.on("error", (e) => this.#logger.warn({ containerId, cause: describeError(e) }, "DNS socket of a container failed"));
    server.unref();
    serving.tcp = server;
  }

  #serveClient(containerId: string, serving: Serving, client: net.Socket): void {
    let received: Buffer = Buffer.alloc(0);
    let waiting = 0;
    serving.clients.add(client);
    client.setTimeout(TCP_IDLE_MS, () => client.destroy());
    client.on("error", () => client.destroy());
    client.on("close", () => serving.clients.delete(client));
    client.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
        const end = 2 + received.readUInt16BE(0);
        const query = Buffer.from(received.subarray(2, end));
        received = received.subarray(end);
        if (++waiting > MAX_PIPELINED) return client.destroy();
        void this.#answer(containerId, serving, query, "tcp").then((answer) => {
          waiting--;
          if (answer !== null && client.writable) client.write(withLength(answer));
        });
      }
    });
  }

  /** Null: nothing sensible can be answered to these bytes. Never rejects. */
  async #answer(containerId: string, serving: Serving, query: Buffer, transport: "udp" | "tcp"): Promise<Buffer | null> {
    try {
      const question = readQuery(query);
      if (question === null) return refuseUnread(query, RCODE.formatError);
      const local = answerLocally(this.#zone, containerId, question, transport === "udp");
      if (local !== null) return local;
      if (!this.#zone.mayForward(containerId)) return refuse(question, RCODE.serverFailure);
      const servers = serving.servers ?? this.#resolvers.list();
      return await this.#forwarder.ask(query, servers, transport) ?? refuse(question, RCODE.serverFailure);
    } catch (e) {
      this.#logger.error({ containerId, cause: describeError(e) }, "answering a DNS question failed");
      return refuseUnread(query, RCODE.serverFailure);
    }
  }
}
