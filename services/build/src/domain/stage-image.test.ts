import assert from "node:assert/strict";
import { test } from "node:test";
import type { LayerInfo } from "@gantry/contracts";
import { digestOf, parseImageConfig } from "@gantry/oci";
import { beginStage, cacheKey, isResultOf, nextImage, scratchImage, storedImage, type Step } from "./stage-image.ts";

const platform = { os: "linux", architecture: "amd64", variant: "" };
const layer = (name: string): LayerInfo => ({ diffId: digestOf(name), chainId: digestOf(`chain ${name}`), digest: digestOf(name), mediaType: "x", blobSize: 1, size: 1 });
const step = (createdBy: string, run = {}): Step => ({ run, author: "", createdBy });

test("each step makes an image with one more entry of history", () => {
  const base = scratchImage(platform);
  const { image, config } = nextImage(base, { run: { Cmd: ["x"] }, author: "me", createdBy: "one" }, layer("a"), "2020-01-02T03:04:05Z");
  assert.equal(image.id, digestOf(config));
  assert.deepEqual(JSON.parse(config), {
    architecture: "amd64", os: "linux", author: "me", created: "2020-01-02T03:04:05Z", config: { Cmd: ["x"] },
    history: [{ created: "2020-01-02T03:04:05Z", created_by: "one", author: "me" }], rootfs: { type: "layers", diff_ids: [digestOf("a")] },
  });
  const second = nextImage(image, step("two"), null, "2020-01-02T03:04:06Z");
  assert.deepEqual(second.image.layers, [layer("a")]);
  assert.deepEqual(second.image.history[1], { created: "2020-01-02T03:04:06Z", created_by: "two", empty_layer: true });
});

test("a cached image counts only as the result of this very step on this very image", () => {
  const base = nextImage(scratchImage(platform), step("base"), layer("a"), "2020-01-01T00:00:00Z").image;
  const made = step("RUN x", { Env: ["A=1"] });
  const result = parseImageConfig(nextImage(base, made, layer("b"), "2021-01-01T00:00:00Z").config);
  assert.equal(isResultOf(result, base, made), true);
  assert.equal(isResultOf(result, base, step("RUN y", { Env: ["A=1"] })), false);
  assert.equal(isResultOf(result, base, step("RUN x", { Env: ["A=2"] })), false);
  assert.equal(isResultOf(result, nextImage(base, step("more"), null, "2020-01-01T00:00:00Z").image, made), false);
  assert.equal(isResultOf(result, { ...base, layers: [layer("other")] }, made), false);
  assert.equal(isResultOf({ ...result, rootfs: { type: "layers", diff_ids: [digestOf("a")] } }, base, made), false, "a layer is missing");
});

test("the key of a step has its parent, its line and its settings", () => {
  const base = scratchImage(platform);
  const keys = [
    cacheKey(base, step("a")), cacheKey(base, step("b")), cacheKey(base, step("a", { Env: ["A=1"] })), cacheKey({ ...base, id: digestOf("x") }, step("a")),
    cacheKey({ ...base, platform: { ...platform, architecture: "arm64" } }, step("a")),
  ];
  assert.equal(new Set(keys).size, keys.length);
  assert.equal(cacheKey(base, step("a", { Env: ["A=1"], Cmd: ["x"] })), cacheKey(base, step("a", { Cmd: ["x"], Env: ["A=1"] })));
});

test("a stage begins with a PATH and without the base's triggers and author", () => {
  const config = { architecture: "amd64", os: "linux", author: "them", config: { OnBuild: ["RUN a"], Env: ["A=1"] }, rootfs: { type: "layers", diff_ids: [] } };
  const { image, triggers } = beginStage(storedImage(digestOf("x"), config, []));
  assert.deepEqual(triggers, ["RUN a"]);
  assert.deepEqual(image.run, { Env: ["A=1", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"] });
  assert.equal(image.author, "");
  const own = beginStage(storedImage(digestOf("x"), { ...config, config: { Env: ["PATH=/bin"] } }, []));
  assert.deepEqual(own.image.run.Env, ["PATH=/bin"]);
});
