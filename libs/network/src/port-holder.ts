import dgram from "node:dgram";
import net from "node:net";
import { once } from "node:events";

/**
 * A socket of this process on a published port of the host. It keeps other programs from taking the port, and forwards what
 * the firewall does not translate: IPv6 to a container without, and a container's calls to its own published port.
 * SCTP has none.
 */
export interface PortHolder {
  close(): Promise<void>;
}

export interface HolderTarget {
  hostIp: string;
  hostPort: number;
  containerIp: string;
  containerPort: number;
}

const MAX_TCP_CONNECTIONS = 4096;
/** A client that vanished is noticed, and its connection freed. */
const KEEP_ALIVE_MS = 60_000;
const MAX_UDP_PEERS = 1024;
/** As the kernel's conntrack for UDP streams does at least. */
const UDP_IDLE_MS = 90_000;

/** Rejects with the system's error (EADDRINUSE, EADDRNOTAVAIL, EACCES …) when the port cannot be had. */
export async function holdTcp(target: HolderTarget): Promise<PortHolder> {
  const open = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => {
    const container = net.connect({ host: target.containerIp, port: target.containerPort, allowHalfOpen: true });
    for (const [socket, other] of [[client, container], [container, client]] as const) {
      open.add(socket);
      socket.setNoDelay(true);
      socket.setKeepAlive(true, KEEP_ALIVE_MS);
      socket.on("error", () => other.resetAndDestroy());
      socket.on("close", () => { open.delete(socket); if (!other.writableEnded) other.end(); });
    }
    client.pipe(container);
    container.pipe(client);
  });
  server.maxConnections = MAX_TCP_CONNECTIONS;
  server.listen({ host: target.hostIp, port: target.hostPort, ipv6Only: true });
  await once(server, "listening");
  // A connection that could not be accepted (no descriptors left) costs that connection only.
  server.on("error", () => {});
  server.unref();
  return {
    async close() {
      const closed = once(server, "close");
      server.close();
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}

/** As {@link holdTcp}. Each client gets a socket of its own towards the container, so that answers find their way. */
export async function holdUdp(target: HolderTarget): Promise<PortHolder> {
  const peers = new Map<string, { socket: dgram.Socket; idle: NodeJS.Timeout }>();
  const server = dgram.createSocket(target.hostIp.includes(":") ? { type: "udp6", ipv6Only: true } : { type: "udp4" });
  const drop = (key: string) => {
    const peer = peers.get(key);
    if (peer === undefined) return;
    peers.delete(key);
    clearTimeout(peer.idle);
    peer.socket.close();
  };
  server.on("message", (message, from) => {
    const key = `${from.address} ${from.port}`;
    let peer = peers.get(key);
    if (peer === undefined) {
      if (peers.size >= MAX_UDP_PEERS) return;
      const socket = dgram.createSocket(target.containerIp.includes(":") ? "udp6" : "udp4");
      socket.on("error", () => drop(key));
      // Connected in effect: what others send to this socket is not the container's answer.
      socket.on("message", (answer, source) => {
        if (source.address === target.containerIp && source.port === target.containerPort) server.send(answer, from.port, from.address, () => {});
      });
      socket.unref();
      peer = { socket, idle: setTimeout(() => drop(key), UDP_IDLE_MS).unref() };
      peers.set(key, peer);
    }
    peer.idle.refresh();
    peer.socket.send(message, target.containerPort, target.containerIp, () => {});
  });
  server.bind({ address: target.hostIp, port: target.hostPort, exclusive: true });
  await once(server, "listening");
  // ICMP errors of earlier answers, for clients that are gone.
  server.on("error", () => {});
  server.unref();
  return {
    async close() {
      for (const key of peers.keys()) drop(key);
      await new Promise<void>((resolve) => server.close(resolve));
    },
  };
}
