import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { systemClock } from "@gantry/kernel";
import { connector } from "../transfer/registries.ts";
import { domainOf, registryQueries } from "./registries.ts";

test("server addresses as they are typed", () => {
  assert.equal(domainOf("localhost:5000"), "localhost:5000");
  assert.equal(domainOf("https://r.example.test/v2/"), "r.example.test");
  assert.equal(domainOf("[::1]:5000"), "[::1]:5000");
  assert.equal(domainOf(""), domainOf(`https://index.${domainOf("")}/v1/`));
  assert.throws(() => domainOf("user@host"), /invalid registry address/);
});

test("credentials are tried against the registry", async () => {
  const right = `Basic ${Buffer.from("me:right").toString("base64")}`;
  const server = createServer((request, response) => {
    if (request.headers.authorization === right) return response.end("{}");
    response.writeHead(401, { "www-authenticate": 'Basic realm="test"' }).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const serverAddress = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const [login] = registryQueries(connector({ insecure: [], endpoints: {} }, systemClock));
    const delivery = { messageId: "m", redelivered: false, attempt: 1, signal: new AbortController().signal };
    const ask = (password: string) => login!.handle({ serverAddress, username: "me", password, identityToken: "" }, delivery);
    assert.deepEqual(await ask("right"), { identityToken: "" });
    await assert.rejects(ask("wrong"), { code: "UNAUTHORIZED", message: `login attempt to ${serverAddress} failed with status: 401 Unauthorized` });
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});
