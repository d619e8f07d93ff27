import { connect, createServer, type AddressInfo } from "node:net";

/** Takes connections at `host`, where containers reach it, and passes them on to a server on loopback. */
export async function forward(host: string, port: number): Promise<AsyncDisposable & { readonly port: number }> {
  const server = createServer((from) => {
    const to = connect(port, "127.0.0.1");
    from.on("error", () => to.destroy()).on("close", () => to.destroy());
    to.on("error", () => from.destroy()).on("close", () => from.destroy());
    from.pipe(to).pipe(from);
  });
  await new Promise<void>((listening, reject) => server.on("error", reject).listen(0, host, listening));
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() { await new Promise((closed) => { server.close(closed); }); },
  };
}
