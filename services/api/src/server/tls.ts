import { randomBytes } from "node:crypto";
import type { Server, TLSSocket, TlsOptions } from "node:tls";
import { type Role, ROLES } from "@gantry/contracts";
import { type KeyPair, names, PemFiles, readCertificates, readKeyPair } from "@gantry/http";
import type { Logger } from "@gantry/kernel";
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

type Loaded = KeyPair & { readonly ca: string | null };

/** TLS of the API's listeners. */
export class ServerTls implements Disposable {
  readonly #clientRole: Role;
  readonly #pems: PemFiles<Loaded>;

  private constructor(clientRole: Role, pems: PemFiles<Loaded>) {
    this.#clientRole = clientRole;
    this.#pems = pems;
  }

  /** Throws INVALID where a file cannot be read, or key and certificate do not belong together. `lookMs`: how often files are looked at. */
  static async open({ cert, key, clientCa, clientRole }: TlsFiles, { logger, lookMs }: { logger: Logger; lookMs?: number }): Promise<ServerTls> {
    return new ServerTls(clientRole, await PemFiles.open<Loaded>({
      paths: [cert, key, ...(clientCa === null ? [] : [clientCa])], logger, ...(lookMs === undefined ? {} : { lookMs }),
      read: async () => ({ ...await readKeyPair(cert, key), ca: clientCa === null ? null : (await readCertificates(clientCa)).text }),
    }));
  }

  /** For a server. Handshakes end well whatever client certificate comes, so that the answer can say what is wrong with it. */
  options(): TlsOptions {
    return { ...this.#context(), requestCert: this.#pems.loaded.ca !== null, rejectUnauthorized: false, handshakeTimeout: 10_000 };
  }

  /** The server gets changed files from now on, until it closes. */
  follow(server: Server): void {
    const following = this.#pems.follow(() => {
      server.setSecureContext(this.#context());
      // Sessions that were checked against the files before cannot be resumed.
      server.setTicketKeys(randomBytes(48));
    });
    server.once("close", () => following[Symbol.dispose]());
  }

  /** Whether the server certificate is for this name or address. */
  serves(host: string): boolean {
    return names(this.#pems.loaded.certificate, host);
  }

  /** The login of the client certificate of a connection, if one came. */
  login(socket: TLSSocket): TcpPeer["certificate"] {
    if (this.#pems.loaded.ca === null) return null;
    const certificate = socket.getPeerX509Certificate();
    if (certificate === undefined) return null;
    if (!socket.authorized) return { refused: String(socket.authorizationError) };
    const subject = certificate.toLegacyObject().subject as { CN?: string | string[]; OU?: string | string[] };
    return { name: [subject.CN ?? []].flat().join(", ").slice(0, 128), role: roleOf([subject.OU ?? []].flat()) ?? this.#clientRole, validTo: certificate.validToDate.getTime() };
  }

  #context(): TlsOptions {
    const { cert, key, ca } = this.#pems.loaded;
    return { cert, key, ...(ca === null ? {} : { ca }) };
  }

  [Symbol.dispose](): void {
    this.#pems[Symbol.dispose]();
  }
}

/** Of several roles the least. */
function roleOf(units: readonly string[]): Role | null {
  return ROLES.find((role) => units.includes(role)) ?? null;
}
