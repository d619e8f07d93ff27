/**
 * Program of a test: stands in a network namespace as a container or another host, and does what the test asks over IPC.
 * Servers answer with the address of who calls.
 */
import dgram from "node:dgram";
import net from "node:net";
import { once } from "node:events";

export type PeerCommand =
  | { op: "serve"; protocol: "tcp" | "udp"; port: number }
  | { op: "call"; protocol: "tcp" | "udp"; host: string; port: number; timeoutMs: number };
/** `text`: what the server said; null: refused, unreachable or no answer in time. */
export interface PeerReply { id: number; text: string | null; error: string | null }

const serving = new Set<string>();

async function serve(protocol: "tcp" | "udp", port: number): Promise<void> {
  if (serving.has(`${protocol}/${port}`)) return;
  serving.add(`${protocol}/${port}`);
  if (protocol === "tcp") {
    const server = net.createServer((socket) => {
      socket.on("error", () => socket.destroy());
      socket.end(String(socket.remoteAddress).replace("::ffff:", ""));
    });
    server.listen(port, "::");
    await once(server, "listening");
  } else {
    const socket = dgram.createSocket("udp4");
    socket.on("message", (_message, from) => socket.send(from.address, from.port, from.address));
    socket.bind(port, "0.0.0.0");
    await once(socket, "listening");
  }
}

export function call(protocol: "tcp" | "udp", host: string, port: number, timeoutMs: number): Promise<string | null> {
  return new Promise((resolve) => {
    const done = (text: string | null, close: () => void) => { clearTimeout(timer); close(); resolve(text); };
    const timer = setTimeout(() => done(null, close), timeoutMs);
    let close = () => {};
    if (protocol === "tcp") {
      let text = "";
      const socket = net.connect({ host, port });
      close = () => socket.destroy();
      socket.on("error", () => done(null, close));
      socket.on("data", (chunk: Buffer) => { text += chunk.toString(); });
      socket.on("end", () => done(text, close));
    } else {
      const socket = dgram.createSocket(net.isIPv6(host) ? "udp6" : "udp4");
      let closed = false;
      close = () => { if (!closed) { closed = true; socket.close(); } };
      socket.on("error", () => done(null, close));
      socket.on("message", (message) => done(message.toString(), close));
      socket.send("?", port, host);
    }
  });
}

if (process.send !== undefined && process.argv[2] === "peer") {
  process.on("message", (command: PeerCommand & { id: number }) => {
    const work = command.op === "serve" ? serve(command.protocol, command.port).then(() => null)
      : call(command.protocol, command.host, command.port, command.timeoutMs);
    work.then((text) => ({ text, error: null }), (e: Error) => ({ text: null, error: e.message }))
      .then((reply) => process.send!({ id: command.id, ...reply }));
  });
  process.on("disconnect", () => process.exit(0));
  process.send({ id: 0, text: null, error: null });
}
