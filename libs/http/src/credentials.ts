import { createPrivateKey, X509Certificate } from "node:crypto";
import { unwatchFile, watchFile } from "node:fs";
import { readFile } from "node:fs/promises";
import type { createSecureContext, SecureContext } from "node:tls";
import { fail } from "@gantry/contracts";
import { describeError, type Logger } from "@gantry/kernel";
import { describeIdentity, identitiesOf, type Identity } from "./identity.ts";
import { validity } from "./peer.ts";

/** Paths of PEM files. */
export interface CredentialFiles {
  /** Certificates of the fleet's CA: more than one while it is being replaced. */
  readonly ca: string;
  /** This service's own certificate, with those between it and the CA, if any. */
  readonly cert: string;
  readonly key: string;
}

export interface Loaded {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  readonly identity: Identity;
  readonly certificate: X509Certificate;
}

const LOOK_MS = 2_000;
const WARN_MS = 14 * 86_400_000;
const PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** What one process shows to others and knows them by. Changed files are read again; until they fit together the old ones hold. */
export class Credentials implements Disposable {
  readonly files: CredentialFiles;
  readonly #logger: Logger;
  readonly #listeners = new Set<(loaded: Loaded) => void>();
  readonly #paths: readonly string[];
  readonly #look = (): void => { this.#reloading = this.#reloading.then(() => this.#reload()); };
  #loaded: Loaded;
  #context: SecureContext | null = null;
  #reloading: Promise<void> = Promise.resolve();

  private constructor(files: CredentialFiles, loaded: Loaded, logger: Logger, lookMs: number) {
    this.files = files;
    this.#loaded = loaded;
    this.#logger = logger;
    this.#paths = [...new Set([files.ca, files.cert, files.key])];
    for (const path of this.#paths) watchFile(path, { interval: lookMs, persistent: false }, this.#look);
  }

  /** Throws INVALID where a file cannot be read or they do not fit together. `lookMs`: how often they are looked at. */
  static async open(files: CredentialFiles, { logger, lookMs = LOOK_MS }: { logger: Logger; lookMs?: number }): Promise<Credentials> {
    const loaded = await load(files);
    const left = loaded.certificate.validToDate.getTime() - Date.now();
    if (left < WARN_MS) logger.warn({ cert: files.cert, validTo: loaded.certificate.validToDate }, "the certificate expires soon");
    return new Credentials(files, loaded, logger, lookMs);
  }

  get loaded(): Loaded {
    return this.#loaded;
  }

  get identity(): Identity {
    return this.#loaded.identity;
  }

  /** For connections to others. */
  context(create: typeof createSecureContext): SecureContext {
    const { ca, cert, key } = this.#loaded;
    return this.#context ??= create({ ca, cert, key, minVersion: "TLSv1.3" });
  }

  /** Calls `listener` with what is read after a change, until it is disposed. */
  watch(listener: (loaded: Loaded) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => { this.#listeners.delete(listener); } };
  }

  async #reload(): Promise<void> {
    try {
      const loaded = await load(this.files);
      const before = this.#loaded;
      if (loaded.ca === before.ca && loaded.cert === before.cert && loaded.key === before.key) return;
      if (loaded.identity !== before.identity) {
        throw fail("INVALID", `${this.files.cert} is for ${describeIdentity(loaded.identity)} now and was for ${describeIdentity(before.identity)}: start this service again if that is meant`);
      }
      this.#loaded = loaded;
      this.#context = null;
      for (const listener of this.#listeners) listener(loaded);
      this.#logger.info({ cert: this.files.cert, validTo: loaded.certificate.validToDate }, "new certificates are in use");
    } catch (e) {
      this.#logger.warn({ error: describeError(e) }, "changed certificate files are not taken; the ones before stay in use");
    }
  }

  [Symbol.dispose](): void {
    for (const path of this.#paths) unwatchFile(path, this.#look);
    this.#listeners.clear();
  }
}

async function load(files: CredentialFiles): Promise<Loaded> {
  const [ca, cert, key] = await Promise.all([files.ca, files.cert, files.key].map((path) => readFile(path, "utf8").catch((cause: unknown) => {
    throw fail("INVALID", `cannot read ${path}: ${(cause as Error).message}`, { cause });
  }))) as [string, string, string];
  const authorities = certificatesIn(ca, files.ca);
  const chain = certificatesIn(cert, files.cert);
  const certificate = chain[0]!;
  const matches = (() => {
    try {
      return certificate.checkPrivateKey(createPrivateKey(key));
    } catch (cause) {
      throw fail("INVALID", `${files.key} holds no private key in PEM form`, { cause });
    }
  })();
  if (!matches) throw fail("INVALID", `${files.key} is not the key of the certificate in ${files.cert}`);
  const dates = validity(certificate, Date.now());
  if (dates !== null) throw fail("INVALID", `the certificate in ${files.cert} ${dates}: issue a new one (gantry certs issue)`);
  if (![...authorities, ...chain.slice(1)].some((issuer) => certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey))) {
    throw fail("INVALID", `the certificate in ${files.cert} is not signed by the CA in ${files.ca}`);
  }
  const identities = identitiesOf(certificate.subjectAltName);
  if (identities.length !== 1) throw fail("INVALID", `the certificate in ${files.cert} must name one service or node (URI gantry:service/NAME or gantry:node/ID), and names ${identities.length}`);
  return { ca, cert, key, identity: identities[0]!, certificate };
}

function certificatesIn(pem: string, path: string): X509Certificate[] {
  const blocks = pem.match(PEM) ?? [];
  if (blocks.length === 0) throw fail("INVALID", `${path} holds no certificate in PEM form`);
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch (cause) {
    throw fail("INVALID", `${path} holds a certificate that cannot be read`, { cause });
  }
}
