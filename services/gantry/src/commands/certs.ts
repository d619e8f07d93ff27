import { Command, InvalidArgumentError } from "commander";
import { fail } from "@gantry/contracts";
import type { Identity } from "@gantry/http";
import type { ListedCertificate } from "@gantry/http/certificates";
import { table } from "../client/format.ts";

const DEFAULT_DIR = "gantry-certs";
const DAY_MS = 86_400_000;
/** Those that others call, and so must know the host of. */
const CALLED = ["build", "image-store"];
const SERVICES = ["api", ...CALLED, "prometheus"];

/** X.509 is of no use to other commands. */
const loadCertificates = () => import("@gantry/http/certificates");

/** The certificates by which the services and nodes of a fleet know each other. It works on files alone: no engine is asked. */
export function certsCommand(): Command {
  const parent = new Command("certs").description("make the certificates by which the services and nodes of a fleet know each other");
  const add = (name: string, description: string): Command => parent.command(name).description(description).option("--dir <dir>", "where they are kept", DEFAULT_DIR);

  add("init", "make the fleet's CA: ca.pem for every host, ca-key.pem for none")
    .option("--days <n>", "how long it is good; default 3650", count)
    .action(async ({ dir, days }: { dir: string; days?: number }) => {
      const { createAuthority } = await loadCertificates();
      const { ca } = await createAuthority({ dir, ...(days === undefined ? {} : { days }) });
      process.stdout.write(`${ca}\n`);
      process.stderr.write(`Every host gets ca.pem as GANTRY_TLS_CA. Keep ca-key.pem here, and a copy in a safe place: whoever has it can be any service.\n`);
    });

  add("issue", "issue a certificate with a key of its own").argument("<who>", `${SERVICES.join(", ")}, or node/ID`, identity)
    .option("--host <host...>", "names and addresses at which others reach it", (host: string, before: string[] = []) => [...before, ...host.split(",")])
    .option("--name <name>", "of its files; default: the service's name, or node-ID")
    .option("--days <n>", "how long it is good; default 365", count)
    .action(async (who: Identity, { dir, host: hosts = [], name, days }: { dir: string; host?: string[]; name?: string; days?: number }) => {
      if (hosts.length === 0 && isCalled(who)) throw fail("INVALID", `others call ${who.replace(/^service\//, "")}: say at which name or address (--host)`);
      const { issueCertificate } = await loadCertificates();
      const { cert, key } = await issueCertificate({ dir, identity: who, hosts, ...(name === undefined ? {} : { name }), ...(days === undefined ? {} : { days }) });
      process.stdout.write(`${cert}\n${key}\n`);
      process.stderr.write("Its host gets them as GANTRY_TLS_CERT and GANTRY_TLS_KEY.\n");
    });

  add("ls", "list certificates").action(async ({ dir }: { dir: string }) => {
    const { listCertificates } = await loadCertificates();
    process.stdout.write(certificateTable(await listCertificates(dir), Date.now()));
  });

  add("renew", "put new certificates and keys, for the same service or node and hosts, in the place of those that end soon, or of those named; `ca` puts a new CA beside the old one").argument("[name...]")
    .option("--within <days>", "those that end within so many days", count, 30)
    .option("--days <n>", "how long new ones are good", count)
    .action(async (names: string[], { dir, within, days }: { dir: string; within: number; days?: number }) => {
      const { listCertificates, renewAuthority, renewCertificate } = await loadCertificates();
      const end = days === undefined ? {} : { days };
      if (names.includes("ca")) {
        const { ca } = await renewAuthority({ dir, ...end });
        process.stdout.write(`${ca}\n`);
        process.stderr.write("It holds the old CA too. Give it to every host, then renew the other certificates: services take changed files by themselves.\n");
      }
      const due = names.length > 0 ? names.filter((name) => name !== "ca")
        : (await listCertificates(dir)).filter(({ identity: who, validTo }) => who !== null && validTo.getTime() < Date.now() + within * DAY_MS).map(({ name }) => name);
      for (const name of due) process.stdout.write(`${(await renewCertificate({ dir, name, ...end })).cert}\n`);
      if (names.length === 0 && due.length === 0) process.stderr.write(`None ends within ${within} days.\n`);
    });
  return parent;
}

export function certificateTable(certificates: readonly ListedCertificate[], now: number): string {
  return table(["NAME", "FOR", "HOSTS", "EXPIRES", "STATE"], certificates.map(({ name, identity: who, hosts, validTo, fault }) => {
    const days = Math.floor((validTo.getTime() - now) / DAY_MS);
    return [name, who?.replace("/", " ") ?? (name === "ca" ? "the fleet" : "nobody"), hosts.join(", ") || "-", validTo.toISOString().slice(0, 10), fault ?? `good for ${days} day${days === 1 ? "" : "s"}`];
  }));
}

function identity(text: string): Identity {
  if (SERVICES.includes(text)) return `service/${text}`;
  if (/^node\/[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/.test(text)) return text as Identity;
  throw new InvalidArgumentError(`It must be ${SERVICES.join(", ")}, or node/ID.`);
}

function isCalled(who: Identity): boolean {
  return who.startsWith("node/") || CALLED.some((name) => who === `service/${name}`);
}

function count(text: string): number {
  if (!/^[1-9][0-9]{0,5}$/.test(text)) throw new InvalidArgumentError("It must be a number of days.");
  return Number(text);
}
