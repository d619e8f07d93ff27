import { spawn } from "node:child_process";
import { Agent, request } from "node:http";
import { CrunPeer } from "./crun-peer.ts";
import type { Engine } from "../tests/e2e/support/engine.ts";

/**
 * Start to exit of `true`: create + start + wait + remove over the Engine API, beside `crun run` of the same file system and no
 * network, one of each in turn. `bridge` gives Gantry's container its network.
 */
export async function startToExit(engine: Engine, rounds: number): Promise<Record<string, number[]>> {
  const agent = new Agent({ keepAlive: true });
  const call = (method: string, path: string, body?: unknown) => httpJson(agent, engine.socket, method, path, body);
  await using peer = new CrunPeer();
  const container = async (network: string): Promise<void> => {
    const { Id } = await call("POST", "/containers/create", { Image: "busybox", Cmd: ["/bin/true"], HostConfig: { NetworkMode: network } }) as { Id: string };
    const waited = call("POST", `/containers/${Id}/wait?condition=next-exit`);
    await call("POST", `/containers/${Id}/start`);
    const { StatusCode } = await waited as { StatusCode: number };
    await call("DELETE", `/containers/${Id}`);
    if (StatusCode !== 0) throw new Error(`true ended with ${StatusCode}`);
  };
  const rows: Record<string, () => Promise<void>> = {
    "gantry API, no network": () => container("none"),
    "gantry API, bridge": () => container("bridge"),
    "crun run, no network": () => peer.run(),
    "fork + exec of true": () => program(peer.busybox, ["true"]),
  };
  const times: Record<string, number[]> = Object.fromEntries(Object.keys(rows).map((name) => [name, []]));
  for (let round = -3; round < rounds; round++) {
    for (const [name, work] of Object.entries(rows)) {
      const start = performance.now();
      await work();
      if (round >= 0) times[name]!.push(performance.now() - start);
    }
  }
  agent.destroy();
  return times;
}

/** One request over a kept connection to a unix socket; answers the parsed body, null for an empty one. */
export function httpJson(agent: Agent, socketPath: string, method: string, path: string, body?: unknown): Promise<unknown> {
  return new Promise((done, reject) => {
    const text = body === undefined ? "" : JSON.stringify(body);
    const sent = request({ agent, socketPath, method, path, headers: { host: "gantry", "content-type": "application/json", "content-length": Buffer.byteLength(text) } }, (response) => {
      const parts: Buffer[] = [];
      response.on("data", (chunk: Buffer) => parts.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const answer = Buffer.concat(parts).toString();
        if ((response.statusCode ?? 500) >= 400) reject(new Error(`${method} ${path}: ${response.statusCode} ${answer}`));
        else done(answer === "" ? null : JSON.parse(answer));
      });
    });
    sent.on("error", reject);
    sent.end(text);
  });
}

function program(command: string, args: readonly string[]): Promise<void> {
  return new Promise((done, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "ignore", "pipe"] });
    let errors = "";
    child.stderr.on("data", (chunk: Buffer) => { errors += chunk.toString(); });
    child.on("error", reject);
    child.on("close", (code) => (code === 0 ? done() : reject(new Error(`${command} ended with ${code}: ${errors}`))));
  });
}
