import assert from "node:assert/strict";
import { test } from "node:test";
import { event, fail } from "@gantry/contracts";
import { isGantryError } from "@gantry/kernel";
import { Type as T } from "typebox";
import { on } from "../port.ts";
import { ask, coded, echo, happened, say, type Suite } from "./support.ts";

/** What is refused, and how errors reach the caller. */
export function errorTests(suite: Suite): void {
  test("a coded error reaches the caller with code, message and details, and is not retried", async () => {
    let calls = 0;
    await using _server = await suite.b.serve("suite", [on(say, async () => {
      calls++;
      throw fail("NO_SUCH_CONTAINER", "No such container: x", { details: { id: "x" }, cause: new Error("secret") });
    })]);
    await assert.rejects(suite.a.call(say, { text: "" }), (error) => isGantryError(error, "NO_SUCH_CONTAINER")
      && error.message === "No such container: x" && error.details["id"] === "x" && error.cause === undefined);
    assert.equal(calls, 1);
  });

  test("any other error is INTERNAL", async () => {
    await using _server = await suite.b.serve("suite", [on(say, async () => { throw new TypeError("undefined is not a function"); })]);
    await assert.rejects(suite.a.call(say, { text: "" }), coded("INTERNAL"));
  });

  test("bodies and replies that do not fit are refused", async () => {
    await using _server = await suite.b.serve("suite", [on(say, async () => ({ heard: 1 }) as never)]);
    await assert.rejects(suite.a.call(say, { text: 1 } as never), (error) => isGantryError(error, "INVALID") && /text/.test(error.message));
    await assert.rejects(suite.a.call(say, { text: "fits" }), coded("INTERNAL"));
    await assert.rejects(suite.a.publish(happened, {} as never), coded("INVALID"));
    await assert.rejects(suite.a.call(say, { text: "x" }, { key: "" }), coded("INVALID"));
  });

  test("a message larger than any broker takes is refused by its sender", async () => {
    const huge = event("suite.word.huge.v1", T.Object({ text: T.String() }));
    await assert.rejects(suite.a.publish(huge, { text: "x".repeat(16 * 1024 * 1024) }), coded("TOO_LARGE"));
    await assert.rejects(suite.a.publish(huge, { text: "☃".repeat(6 * 1024 * 1024) }), coded("TOO_LARGE"));
  });

  test("a message without a handler is refused", async () => {
    await using _server = await suite.b.serve("suite", [on(say, echo)]);
    await assert.rejects(suite.a.call(ask, { text: "" }), coded("NOT_IMPLEMENTED"));
  });
}
