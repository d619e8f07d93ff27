import { createPrivateKey, randomBytes, X509Certificate } from "node:crypto";
import { unwatchFile, watchFile } from "node:fs";
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import type { Server, TLSSocket, TlsOptions } from "node:tls";
import { fail, type Role, ROLES } from "@gantry/contracts";
import { describeError, type Logger } from "@gantry/kernel";
import type { TcpPeer } from "./peer.ts";

/** Paths of PEM files. */
export interface TlsFiles {
  /** Server certificate, with those between it and its CA. */
  readonly cert: string;
  readonly key: string;
  /** A client certificate signed by one of these CAs is a login; null: only tokens are. */
  readonly clientCa: string | null;
  /** Role of client certificates whose organizational unit names none. */
  readonly clientRole: Role;
}

interface Loaded { readonly cert: string; readonly key: string; readonly ca: string | null; readonly certificate: X509Certificate }

const LOOK_MS = 2_000;

/** TLS of the API's listeners. Changed files are read again; until they fit together the old ones hold. */
export class ServerTls implements Disposable {
  readonly #files: TlsFiles;
  readonly #logger: Logger;
  readonly #paths: readonly string[];
  readonly #servers = new Set<Server>();
  readonly #look = (): void => { this.#reloading = this.#reloading.then(() => this.#reload()); };
  #reloading: Promise<void> = Promise.resolve();
  #loaded: Loaded;

  private constructor(files: TlsFiles, loaded: Loaded, logger: Logger, lookMs: number) {
    this.#files = files;
    this.#loaded = loaded;
    this.#logger = logger;
    this.#paths = [files.cert, files.key, ...(files.clientCa === null ? [] : [files.clientCa])];
    for (const path of this.#paths) watchFile(path, { interval: lookMs, persistent: false }, this.#look);
  }

  /** Throws INVALID where a file cannot be read, or key and certificate do not belong together. `lookMs`: how often files are looked at. */
  static async open(files: TlsFiles, { logger, lookMs = LOOK_MS }: { logger: Logger; lookMs?: number }): Promise<ServerTls> {
    return new ServerTls(files, await load(files), logger, lookMs);
  }

  /** For a server. Handshakes end well whatever client certificate comes, so that the answer can say what is wrong with it. */
  options(): TlsOptions {
    return { ...this.#context(), requestCert: this.#loaded.ca !== null, rejectUnauthorized: false, handshakeTimeout: 10_000 };
  }

  /** The server gets changed files from now on, until it closes. */
  follow(server: Server): void {
    this.#servers.add(server);
    server.once("close", () => this.#servers.delete(server));
  }

  /** Whether the server certificate is for this name or address. */
  serves(host: string): boolean {
    const { certificate } = this.#loaded;
    return (isIP(host) === 0 ? certificate.checkHost(host) : certificate.checkIP(host)) !== undefined;
  }

  /** The login of the client certificate of a connection, if one came. */
  login(socket: TLSSocket): TcpPeer["certificate"] {
    if (this.#loaded.ca === null) return null;
    const certificate = socket.getPeerX509Certificate();
    if (certificate === undefined) return null;
    if (!socket.authorized) return { refused: String(socket.authorizationError) };
    const subject = certificate.toLegacyObject().subject as { CN?: string | string[]; OU?: string | string[] };
    return { name: [subject.CN ?? []].flat().join(", ").slice(0, 128), role: roleOf([subject.OU ?? []].flat()) ?? this.#files.clientRole, validTo: certificate.validToDate.getTime() };
  }

  #context(): TlsOptions {
    const { cert, key, ca } = this.#loaded;
    return { cert, key, ...(ca === null ? {} : { ca }) };
  }

  async #reload(): Promise<void> {
    try {
      const [before, loaded] = [this.#loaded, await load(this.#files)];
      if (loaded.cert === before.cert && loaded.key === before.key && loaded.ca === before.ca) return;
      this.#loaded = loaded;
      for (const server of this.#servers) {
        server.setSecureContext(this.#context());
        // Sessions that were checked against the files before cannot be resumed.
        server.setTicketKeys(randomBytes(48));
      }
      this.#logger.info({ cert: this.#files.cert, validTo: loaded.certificate.validToDate }, "new certificates are in use");
    } catch (error) {
      this.#logger.warn({ error: describeError(error) }, "changed certificate files are not taken; the ones before stay in use");
    }
  }

  [Symbol.dispose](): void {
    for (const path of this.#paths) unwatchFile(path, this.#look);
    this.#servers.clear();
  }
}

/** Of several roles the least. */
function roleOf(units: readonly string[]): Role | null {
  return ROLES.find((role) => units.includes(role)) ?? null;
}

async function load({ cert, key, clientCa }: TlsFiles): Promise<Loaded> {
  const read = (path: string): Promise<string> => readFile(path, "utf8").catch((cause: unknown) => { throw fail("INVALID", `cannot read ${path}: ${(cause as Error).message}`, { cause }); });
  const [certText, keyText, ca] = await Promise.all([read(cert), read(key), clientCa === null ? null : read(clientCa)]);
  const certificate = parsed(() => new X509Certificate(certText), `${cert} holds no certificate in PEM form`);
  const ours = parsed(() => certificate.checkPrivateKey(createPrivateKey(keyText)), `${key} holds no private key in PEM form`);
  if (!ours) throw fail("INVALID", `${key} is not the key of the certificate in ${cert}`);
  if (ca !== null) parsed(() => new X509Certificate(ca), `${clientCa} holds no certificate in PEM form`);
  return { cert: certText, key: keyText, ca, certificate };
}

function parsed<V>(read: () => V, message: string): V {
  try {
    return read();
  } catch (cause) {
    throw fail("INVALID", message, { cause });
  }
}
