import { connect, createServer, type AddressInfo, type Socket } from "node:net";

/** Takes connections at `host`, where containers reach it, and passes them on to a server on loopback. */
export async function forward(host: string, port: number): Promise<AsyncDisposable & { readonly port: number }> {
  const open = new Set<Socket>();
  const server = createServer((from) => {
    const to = connect(port, "127.0.0.1");
    open.add(from);
    from.on("error", () => to.destroy()).on("close", () => { open.delete(from); to.destroy(); });
    to.on("error", () => from.destroy()).on("close", () => from.destroy());
    from.pipe(to).pipe(from);
  });
  await new Promise<void>((listening, reject) => server.on("error", reject).listen(0, host, listening));
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((done) => { server.close(done); });
      // A container's network goes without a word to whom it was connected to.
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}
