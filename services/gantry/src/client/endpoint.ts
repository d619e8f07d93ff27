import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { fail } from "@gantry/contracts";
import { errnoOf, type Env } from "@gantry/kernel";

export interface Endpoint {
  readonly socketPath?: string;
  readonly host?: string;
  readonly port?: number;
  readonly tls: boolean;
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
  /** Sent with every request. */
  readonly headers: Readonly<Record<string, string>>;
}

/** How to reach an engine. Throws INVALID for what is no address, and where a certificate that was asked for cannot be read. */
export function endpoint(address: string, env: Env): Endpoint {
  const unix = /^unix:(?:\/\/)?(\/.+)$/.exec(address);
  if (unix) return { socketPath: unix[1]!, tls: false, headers: { host: "gantry" } };
  const tcp = /^(tcp|https?):\/\/(\[[0-9a-f:]+\]|[^:/]+):([0-9]+)\/?$/.exec(address);
  if (!tcp) throw fail("INVALID", `cannot use ${address} as an engine address: give unix:///path or tcp://address:port`);
  const tls = tcp[1] === "https" || (tcp[1] === "tcp" && (env["DOCKER_TLS_VERIFY"] ?? "") !== "");
  const token = env["GANTRY_TOKEN"] ?? "";
  return {
    host: tcp[2]!.replace(/^\[|\]$/g, ""), port: Number(tcp[3]), tls, ...(tls ? certificates(env) : {}),
    headers: token === "" ? {} : { authorization: `Bearer ${token}` },
  };
}

/** Docker's files: what the server's certificate must be signed by, and the client's own certificate. Those that are not there are left out. */
function certificates(env: Env): Pick<Endpoint, "ca" | "cert" | "key"> {
  const dir = (env["DOCKER_CERT_PATH"] ?? "") === "" ? join(homedir(), ".docker") : env["DOCKER_CERT_PATH"]!;
  const read = (name: string): Buffer | null => {
    try {
      return readFileSync(join(dir, name));
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return null;
      throw fail("INVALID", `cannot read ${join(dir, name)}: ${(error as Error).message}`, { cause: error });
    }
  };
  const [ca, cert, key] = [read("ca.pem"), read("cert.pem"), read("key.pem")];
  return { ...(ca === null ? {} : { ca }), ...(cert === null || key === null ? {} : { cert, key }) };
}
