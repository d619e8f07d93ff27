import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

export interface Authority {
  /** Path of its certificate. */
  readonly cert: string;
  /** Makes a key and a certificate `<name>.pem`, `<name>-key.pem`. `subject` as openssl takes it: `/CN=me/OU=viewer`; `names` as `IP:127.0.0.1,DNS:localhost`. */
  issue(name: string, options: { subject: string; names?: string; usage: "serverAuth" | "clientAuth"; days?: number }): { readonly cert: string; readonly key: string };
}

/** A certificate authority for a test, in files of `dir`. */
export function authority(dir: string, name: string): Authority {
  const path = (file: string): string => join(dir, file);
  const openssl = (...args: string[]): void => { execFileSync("openssl", args, { stdio: ["ignore", "ignore", "pipe"] }); };
  const [cert, key] = [path(`${name}.pem`), path(`${name}-key.pem`)];
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  openssl("req", "-x509", ...newKey, "-keyout", key, "-out", cert, "-days", "2", "-subj", `/CN=${name}`, "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign");
  return {
    cert,
    issue(of, { subject, names, usage, days = 2 }) {
      const made = { cert: path(`${of}.pem`), key: path(`${of}-key.pem`) };
      writeFileSync(path(`${of}.ext`), `extendedKeyUsage=${usage}\n${names === undefined ? "" : `subjectAltName=${names}\n`}`);
      openssl("req", ...newKey, "-keyout", made.key, "-out", path(`${of}.csr`), "-subj", subject);
      openssl("x509", "-req", "-in", path(`${of}.csr`), "-CA", cert, "-CAkey", key, "-CAcreateserial", "-out", made.cert, "-days", String(days), "-extfile", path(`${of}.ext`));
      return made;
    },
  };
}
