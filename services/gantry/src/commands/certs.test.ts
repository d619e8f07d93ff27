import assert from "node:assert/strict";
import { test } from "node:test";
import { certificateTable } from "./certs.ts";

test("the list of certificates tells whom each is for, and what is wrong with it", () => {
  const now = Date.UTC(2027, 0, 1);
  const validFrom = new Date(0), validTo = new Date(now + 20.5 * 86_400_000);
  assert.equal(certificateTable([
    { name: "ca", identity: null, hosts: [], validFrom, validTo, fault: null },
    { name: "node-n1", identity: "node/n1", hosts: ["10.0.0.3", "n1.example"], validFrom, validTo, fault: null },
    { name: "old", identity: "service/api", hosts: [], validFrom, validTo: new Date(now - 86_400_000), fault: "expired 1 day ago (2026-12-31T00:00:00.000Z)" },
    { name: "web", identity: null, hosts: [], validFrom, validTo, fault: "is not signed by this CA" },
  ], now), [
    "NAME      FOR           HOSTS                  EXPIRES      STATE",
    "ca        the fleet     -                      2027-01-21   good for 20 days",
    "node-n1   node n1       10.0.0.3, n1.example   2027-01-21   good for 20 days",
    "old       service api   -                      2026-12-31   expired 1 day ago (2026-12-31T00:00:00.000Z)",
    "web       nobody        -                      2027-01-21   is not signed by this CA",
    "",
  ].join("\n"));
});
