import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { text } from "node:stream/consumers";
import { type TLSSocket } from "node:tls";
import { describe, it } from "node:test";
import { isGantryError, type Logger, silentLogger } from "@gantry/kernel";
import { waitFor } from "@gantry/testkit";
import { renewAuthority } from "./certificates/index.ts";
import { Credentials } from "./credentials.ts";
import { Fleet } from "./testing/fleet.ts";
import { openRig, type Rig } from "./testing/rig.ts";

const serialOf = (socket: Socket): string => (socket as TLSSocket).getPeerX509Certificate()!.serialNumber;
const own = (socket: Socket): string => (socket as TLSSocket).getX509Certificate()!.serialNumber;

/** A server that says which certificates a new connection has: its own and the caller's. */
function open(): Promise<Rig> {
  return openRig("tls", {
    request: (request, response) => { response.setHeader("connection", "close").end(`${own(request.socket)} ${serialOf(request.socket)}`); },
    upgrade: (_request, socket) => {
      socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
      socket.pipe(socket);
    },
  });
}

async function serials({ client, target }: Rig): Promise<string[]> {
  return (await text((await client.request(target, { method: "GET", path: "/" })).body)).split(" ");
}

async function echo(stream: Duplex, word: string): Promise<string> {
  stream.write(word);
  return String((await once(stream, "data") as [Buffer])[0]);
}

describe("certificates that are replaced while services run", { timeout: 60_000 }, () => {
  it("are used by new connections of both sides; streams that run go on", async () => {
    await using rig = await open();
    const before = await serials(rig);
    const stream = await rig.client.upgrade(rig.target, { path: "/" });
    assert.equal(await echo(stream, "one"), "one");
    await rig.fleet.issue("node/a");
    await rig.fleet.issue("service/api");
    await waitFor(async () => (await serials(rig)).every((serial) => !before.includes(serial)));
    assert.equal(await echo(stream, "two"), "two");
    stream.destroy();
  });

  it("may be of a new CA, once every service has it", async () => {
    await using rig = await open();
    const before = await serials(rig);
    const stream = await rig.client.upgrade(rig.target, { path: "/" });
    await renewAuthority({ dir: rig.fleet.dir });
    await rig.fleet.issue("node/a");
    // The API's is still the old one's.
    await waitFor(async () => (await serials(rig))[0] !== before[0]);
    assert.equal((await serials(rig))[1], before[1]);
    await rig.fleet.issue("service/api");
    await waitFor(async () => (await serials(rig))[1] !== before[1]);
    assert.equal(await echo(stream, "on"), "on");
    stream.destroy();
  });

  it("are not taken while they do not fit, or are for someone else; the ones before hold", async () => {
    using fleet = await Fleet.make();
    const warnings: string[] = [];
    const logger: Logger = { ...silentLogger, child: () => logger, warn: (fields) => { warnings.push(JSON.stringify(fields)); } };
    const files = await fleet.issue("node/a");
    using credentials = await Credentials.open(files, { logger, lookMs: 20 });
    const { certificate, ca, cert, key } = credentials.loaded;
    const other = await fleet.pem("node/b");
    for (const [change, words] of [
      [() => writeFileSync(files.key, other.key), /is not the key of the certificate/],
      [() => { writeFileSync(files.cert, other.cert); writeFileSync(files.key, other.key); }, /is for node b now and was for node a/],
      [() => writeFileSync(files.cert, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), /holds a certificate that cannot be read/],
      [() => writeFileSync(files.ca, ""), /holds no certificate in PEM form/],
    ] as const) {
      const said = warnings.length;
      change();
      await waitFor(() => warnings.slice(said).some((warning) => words.test(warning)));
      assert.equal(credentials.loaded.certificate, certificate);
      for (const [path, text] of [[files.ca, ca], [files.cert, cert], [files.key, key]] as const) writeFileSync(path, text);
    }
    await fleet.issue("node/a");
    await waitFor(() => credentials.loaded.certificate.serialNumber !== certificate.serialNumber);
  });

  it("are none to begin with when a file is missing, expired, or of another CA", async () => {
    using fleet = await Fleet.make();
    using foreign = await Fleet.make();
    const files = await fleet.issue("node/a");
    const open = (changed: object): Promise<Credentials> => Credentials.open({ ...files, ...changed }, { logger: silentLogger });
    for (const [changed, words] of [
      [{ key: "/no/such-key.pem" }, /cannot read \/no\/such-key\.pem/],
      [{ ca: (await foreign.issue("node/a")).ca }, /is not signed by the CA in/],
      [await fleet.issue("node/a", { name: "old", from: new Date(Date.now() - 10 * 86_400_000), days: 2 }), /expired 8 days ago .* \(gantry certs renew\)/],
      [await fleet.issue("node/a", { name: "early", from: new Date(Date.now() + 10 * 86_400_000) }), /is valid only 9 days from now/],
    ] as const) await assert.rejects(open(changed), (e) => isGantryError(e, "INVALID") && words.test(e.message), String(words));
  });
});
