import { fail } from "@gantry/contracts";
import { configFromEnv, type Env, type Logger } from "@gantry/kernel";
import { Type as T } from "typebox";
import { HttpClient } from "./client.ts";
import { Credentials } from "./credentials.ts";
import { describeIdentity, type Identity } from "./identity.ts";

export const TlsConfig = T.Object({
  tlsCa: T.String({ default: "", description: "file with the fleet's CA certificate in PEM form: with it, GANTRY_TLS_CERT and GANTRY_TLS_KEY this service speaks TLS to the others and they to it" }),
  tlsCert: T.String({ default: "", description: "file with this service's certificate, signed by that CA (gantry certs issue)" }),
  tlsKey: T.String({ default: "", description: "file with the certificate's key" }),
});

/**
 * The internal HTTP of one process, with the certificates that the environment names; they must be for `identity`. Throws INVALID
 * where they are not whole.
 */
export async function openHttp(identity: Identity, env: Env, { logger }: { logger: Logger }): Promise<HttpClient> {
  const { tlsCa: ca, tlsCert: cert, tlsKey: key } = configFromEnv(TlsConfig, env);
  if (ca === "" && cert === "" && key === "") return new HttpClient();
  if (ca === "" || cert === "" || key === "") throw fail("INVALID", "configuration: GANTRY_TLS_CA, GANTRY_TLS_CERT and GANTRY_TLS_KEY belong together: set all three or none");
  const credentials = await Credentials.open({ ca, cert, key }, { logger });
  if (credentials.identity !== identity) {
    credentials[Symbol.dispose]();
    throw fail("INVALID", `the certificate in ${cert} is for ${describeIdentity(credentials.identity)}; this is ${describeIdentity(identity)}`);
  }
  return new HttpClient({ credentials });
}
