import assert from "node:assert/strict";
import { test } from "node:test";
import { includes, type Identity, requireBuildNetwork, requireRole, requireSessionMethod } from "./access.ts";
import { credentialOf, sessionCookie } from "./credential.ts";
import { LoginLimit } from "./login-limit.ts";

const identity = (over: Partial<Identity> = {}): Identity => ({ by: "token", name: "ci", role: "builder", id: "0123456789abcdef", ...over });

test("a role includes those below it", () => {
  assert.deepEqual((["viewer", "builder", "admin"] as const).map((needed) => includes("builder", needed)), [true, true, false]);
  assert.doesNotThrow(() => requireRole(identity(), "viewer"));
  assert.throws(() => requireRole(identity(), "admin"), { code: "FORBIDDEN", message: 'the token 0123456789abcdef ("ci") has the role builder; this needs the role admin' });
  assert.throws(() => requireRole(identity({ by: "certificate", role: "viewer", id: null }), "builder"), /the client certificate "ci" has the role viewer; this needs the role builder/);
});

test("sessions read, and send POST from their own pages", () => {
  const session = identity({ by: "session" });
  for (const method of ["GET", "HEAD"]) assert.doesNotThrow(() => requireSessionMethod(session, method, undefined));
  assert.doesNotThrow(() => requireSessionMethod(session, "POST", "http://127.0.0.1:2385"));
  assert.throws(() => requireSessionMethod(session, "POST", undefined), { code: "FORBIDDEN" });
  for (const method of ["DELETE", "PUT", "PATCH"]) assert.throws(() => requireSessionMethod(session, method, "http://127.0.0.1:2385"), { code: "FORBIDDEN" });
  assert.doesNotThrow(() => requireSessionMethod(identity(), "DELETE", undefined));
});

test("builds in the network of host or containers are for those who may start such containers", () => {
  for (const mode of ["", "default", "bridge", "none", "mine"]) assert.doesNotThrow(() => requireBuildNetwork(identity(), mode));
  for (const mode of ["host", "container:web"]) {
    assert.throws(() => requireBuildNetwork(identity(), mode), { code: "FORBIDDEN" });
    assert.doesNotThrow(() => requireBuildNetwork(identity({ role: "admin" }), mode));
  }
});

test("a login is a bearer token, else the cookie of this port", () => {
  const of = (authorization?: string, cookie?: string) => credentialOf({ authorization, cookie }, 2385);
  assert.equal(of(), null);
  assert.deepEqual(of("Bearer abc"), { by: "token", text: "abc" });
  assert.deepEqual(of("bearer  abc "), { by: "token", text: "abc" });
  for (const other of ["Basic abc", "Bearer", "Bearer ", "Bearer a b", "", "abc"]) assert.deepEqual(of(other, "gantry_2385=s"), { by: "token", text: "" }, other);
  assert.deepEqual(of(undefined, "a=b; gantry_2386=other; gantry_2385=mine; x"), { by: "session", text: "mine" });
  assert.deepEqual(of(undefined, "gantry_2385"), { by: "session", text: "" });
  assert.equal(of(undefined, "a=gantry_2385=x;;=;"), null);
  assert.equal(sessionCookie(2385, "abc", { seconds: 60.7, secure: false }), "gantry_2385=abc; Path=/; HttpOnly; SameSite=Strict; Max-Age=60");
  assert.match(sessionCookie(2385, "", { seconds: -1, secure: true }), /=; .*Max-Age=0; Secure$/);
});

test("wrong logins of an address are bounded, and so is what is remembered of them", () => {
  const limit = new LoginLimit();
  for (let i = 0; i < 20; i++) {
    assert.equal(limit.waitMs("10.0.0.1", 0), 0, String(i));
    limit.failed("10.0.0.1", 0);
  }
  assert.equal(limit.waitMs("10.0.0.1", 0), 1_000);
  assert.equal(limit.waitMs("10.0.0.1", 600), 400);
  assert.equal(limit.waitMs("10.0.0.1", 1_000), 0);
  assert.equal(limit.waitMs("10.0.0.2", 0), 0);
  for (let i = 0; i < 20; i++) limit.failed(`2001:db8::${i.toString(16)}`, 0);
  assert.ok(limit.waitMs("2001:db8:0:0:ffff::1", 0) > 0, "one network of IPv6 is one address");
  assert.equal(limit.waitMs("2001:db8:0:1::1", 0), 0);
  for (let i = 0; i < 10_000; i++) limit.failed(`10.1.${i >> 8}.${i & 255}`, 0);
  assert.equal(limit.addresses, 4_096);
});
