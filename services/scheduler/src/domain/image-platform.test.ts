import assert from "node:assert/strict";
import { test } from "node:test";
import { checkPlatform } from "./image-platform.ts";

test("an image of another platform is not the one that was asked for", () => {
  const config = { os: "linux", architecture: "amd64" };
  checkPlatform(undefined, "busybox", config);
  checkPlatform("linux/amd64", "busybox", config);
  assert.throws(() => checkPlatform("linux/arm64", "busybox", config), {
    code: "NO_SUCH_IMAGE", message: "image with reference busybox was found but does not provide the specified platform (linux/arm64)",
  });
  assert.throws(() => checkPlatform("a/b/c/d", "busybox", config), { code: "INVALID" });
});
