import { readFileSync } from "node:fs";
import dgram from "node:dgram";
import net from "node:net";
import type { Clock } from "@gantry/kernel";
import { parseResolvConf } from "../resolv-conf.ts";

const RESOLV_CONF = "/etc/resolv.conf";
const REREAD_MS = 5_000;
/** glibc's: 5 s for one server, then the next; the asker's own patience is about 10 s. */
const TRY_MS = 4_000;
const MAX_SERVERS = 3;
/** Docker's limit of questions under way. */
const MAX_UNDER_WAY = 1024;
const MAX_MESSAGE = 65_535;

export interface Server { address: string; port: number }

/** `address`, `address:port` or `[address]:port`. */
export function parseServer(text: string): Server | null {
  const match = /^\[([^\]]+)\](?::(\d{1,5}))?$/.exec(text) ?? /^([\d.]+)(?::(\d{1,5}))?$/.exec(text);
  if (match !== null) return { address: match[1]!, port: Number(match[2] ?? 53) };
  return net.isIPv6(text) ? { address: text, port: 53 } : null;
}

/** The host's resolvers. The file is read again when it may have changed, at most every few seconds. */
export class HostResolvers {
  readonly #clock: Clock;
  readonly #fixed: readonly Server[] | null;
  #servers: readonly Server[] = [];
  #readAt = -Infinity;

  constructor(clock: Clock, fixed: readonly string[] | null) {
    this.#clock = clock;
    this.#fixed = fixed === null ? null : fixed.flatMap((s) => parseServer(s) ?? []);
  }

  list(): readonly Server[] {
    if (this.#fixed !== null) return this.#fixed;
    const now = this.#clock.now();
    if (now - this.#readAt >= REREAD_MS) {
      this.#readAt = now;
      try {
        this.#servers = parseResolvConf(readFileSync(RESOLV_CONF, "utf8")).nameservers.map((address) => ({ address, port: 53 }));
      } catch {
        // A host without the file has no resolvers.
        this.#servers = [];
      }
    }
    return this.#servers;
  }
}

/** Passes questions on, unread, and brings the answers back. */
export class Forwarder {
  #underWay = 0;

  /** The first answer of the servers, in their order; null when none answers in time, or too much is under way. */
  async ask(query: Buffer, servers: readonly Server[], transport: "udp" | "tcp"): Promise<Buffer | null> {
    if (this.#underWay >= MAX_UNDER_WAY) return null;
    this.#underWay++;
    try {
      for (const server of servers.slice(0, MAX_SERVERS)) {
        const answer = await (transport === "udp" ? askUdp(query, server) : askTcp(query, server));
        if (answer !== null) return answer;
      }
      return null;
    } finally {
      this.#underWay--;
    }
  }
}

/** A socket per question, connected: a port of its own, and nobody else's datagrams. */
function askUdp(query: Buffer, server: Server): Promise<Buffer | null> {
  return new Promise((resolve) => {
    const socket = dgram.createSocket(net.isIPv6(server.address.replace(/%.*$/, "")) ? "udp6" : "udp4");
    const timer = setTimeout(() => finish(null), TRY_MS);
    let finished = false;
    function finish(answer: Buffer | null): void {
      if (finished) return;
      finished = true;
      clearTimeout(timer);
      socket.close();
      resolve(answer);
    }
    socket.on("error", () => finish(null));
    socket.on("message", (answer) => { if (isAnswerTo(query, answer)) finish(answer); });
    socket.connect(server.port, server.address, () => {
      if (!finished) socket.send(query, (e) => { if (e !== null) finish(null); });
    });
  });
}

function askTcp(query: Buffer, server: Server): Promise<Buffer | null> {
  return new Promise((resolve) => {
    const socket = net.connect({ host: server.address, port: server.port });
    const timer = setTimeout(() => finish(null), TRY_MS);
    let received: Buffer = Buffer.alloc(0);
    function finish(answer: Buffer | null): void {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    }
    socket.on("error", () => finish(null));
    socket.on("close", () => finish(null));
    socket.on("connect", () => socket.write(withLength(query)));
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      const answer = received.subarray(2, 2 + received.readUInt16BE(0));
      finish(isAnswerTo(query, answer) ? answer : null);
    });
  });
}

/** A message as DNS over TCP frames it (RFC 1035 section 4.2.2). */
export function withLength(message: Buffer): Buffer {
  const head = Buffer.alloc(2);
  head.writeUInt16BE(Math.min(message.length, MAX_MESSAGE));
  return Buffer.concat([head, message]);
}

function isAnswerTo(query: Buffer, answer: Buffer): boolean {
  return answer.length >= 12 && answer.readUInt16BE(0) === query.readUInt16BE(0) && (answer[2]! & 0x80) !== 0;
}
