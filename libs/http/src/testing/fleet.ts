import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "@gantry/kernel";
import { createAuthority, issueCertificate, type IssueOptions } from "../certificates/index.ts";
import { HttpClient } from "../client.ts";
import { Credentials, type CredentialFiles } from "../credentials.ts";
import type { Identity } from "../identity.ts";

export const LOOPBACK = ["127.0.0.1", "localhost"];

/** A CA in a directory of its own, which goes with it. */
export class Fleet implements Disposable {
  readonly dir: string;

  private constructor(dir: string) {
    this.dir = dir;
  }

  static async make(): Promise<Fleet> {
    const dir = mkdtempSync(join(tmpdir(), `gantry-http-${process.pid}-`));
    await createAuthority({ dir });
    return new Fleet(dir);
  }

  issue(identity: Identity, options: Partial<IssueOptions> = {}): Promise<CredentialFiles> {
    return issueCertificate({ dir: this.dir, identity, hosts: LOOPBACK, replace: true, ...options });
  }

  async credentials(identity: Identity, options: Partial<IssueOptions> = {}): Promise<Credentials> {
    return await Credentials.open(await this.issue(identity, options), { logger: silentLogger, lookMs: 20 });
  }

  async client(identity: Identity, options: Partial<IssueOptions> = {}): Promise<HttpClient> {
    return new HttpClient({ credentials: await this.credentials(identity, options) });
  }

  /** The CA's certificate. */
  get ca(): string {
    return readFileSync(join(this.dir, "ca.pem"), "utf8");
  }

  /** The texts of a certificate's files: of one that need not be good. */
  async pem(identity: Identity, options: Partial<IssueOptions> = {}): Promise<{ readonly ca: string; readonly cert: string; readonly key: string }> {
    const { cert, key } = await this.issue(identity, options);
    return { ca: this.ca, cert: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8") };
  }

  [Symbol.dispose](): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}
