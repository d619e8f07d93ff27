import type { createSecureContext, SecureContext, SecureContextOptions } from "node:tls";
import { fail } from "@gantry/contracts";
import type { Logger } from "@gantry/kernel";
import { validity } from "./certificate.ts";
import { describeIdentity, identityOf, type Identity } from "./identity.ts";
import { isSignedBy, readCertificates, readKeyPair, type KeyPair } from "./pem.ts";
import { PemFiles } from "./pem-files.ts";

/** Paths of PEM files. */
export interface CredentialFiles {
  /** Certificates of the fleet's CA: more than one while it is being replaced. */
  readonly ca: string;
  /** This service's own certificate, with those between it and the CA, if any. */
  readonly cert: string;
  readonly key: string;
}

export interface Loaded extends KeyPair {
  readonly ca: string;
  readonly identity: Identity;
}

/** What one process shows to others and knows them by. */
export class Credentials implements Disposable {
  readonly files: CredentialFiles;
  readonly #pems: PemFiles<Loaded>;
  #context: SecureContext | null = null;

  private constructor(files: CredentialFiles, pems: PemFiles<Loaded>) {
    this.files = files;
    this.#pems = pems;
    pems.follow(() => { this.#context = null; });
  }

  /** Throws INVALID where a file cannot be read or they do not fit together. `lookMs`: how often they are looked at. */
  static async open(files: CredentialFiles, { logger, lookMs }: { logger: Logger; lookMs?: number }): Promise<Credentials> {
    const pems = await PemFiles.open<Loaded>({
      paths: [files.ca, files.cert, files.key], logger, ...(lookMs === undefined ? {} : { lookMs }),
      async read(before) {
        const loaded = await load(files);
        if (before === null || loaded.identity === before.identity) return loaded;
        throw fail("INVALID", `${files.cert} is for ${describeIdentity(loaded.identity)} now and was for ${describeIdentity(before.identity)}: start this service again if that is meant`);
      },
    });
    return new Credentials(files, pems);
  }

  get loaded(): Loaded {
    return this.#pems.loaded;
  }

  get identity(): Identity {
    return this.loaded.identity;
  }

  /** For connections to others. */
  context(create: typeof createSecureContext): SecureContext {
    return this.#context ??= create(contextOf(this.loaded));
  }

  /** Calls `listener` with what is read after a change, until the answer is disposed. */
  follow(listener: (loaded: Loaded) => void): Disposable {
    return this.#pems.follow(listener);
  }

  [Symbol.dispose](): void {
    this.#pems[Symbol.dispose]();
  }
}

/** What both sides of a connection have in common: they trust this fleet's CA alone. */
export function contextOf({ ca, cert, key }: Loaded): SecureContextOptions {
  return { ca, cert, key, minVersion: "TLSv1.3" };
}

async function load(files: CredentialFiles): Promise<Loaded> {
  const [pair, authorities] = await Promise.all([readKeyPair(files.cert, files.key), readCertificates(files.ca)]);
  const { certificate, intermediates } = pair;
  const dates = validity(certificate, Date.now());
  if (dates !== null) throw fail("INVALID", `the certificate in ${files.cert} ${dates}: issue a new one (gantry certs renew)`);
  if (!isSignedBy(certificate, [...authorities.certificates, ...intermediates])) throw fail("INVALID", `the certificate in ${files.cert} is not signed by the CA in ${files.ca}`);
  const identity = identityOf(certificate.subjectAltName);
  if (identity === null) throw fail("INVALID", `the certificate in ${files.cert} must name one service or node (URI gantry:service/NAME or gantry:node/ID)`);
  return { ...pair, ca: authorities.text, identity };
}
