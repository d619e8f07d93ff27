import assert from "node:assert/strict";
import { test } from "node:test";
import { readConfig } from "./config.ts";
import { readHostConfig } from "./host-config.ts";
import { parseBind, parseVolumesFrom, resolveMounts } from "./mounts.ts";
import type { Json } from "./read.ts";

let made = 0;
const newName = () => `anon${made++}`;
const resolve = (host: Json, config: Json = {}, from: Parameters<typeof resolveMounts>[2] = []) => resolveMounts(readConfig(config), readHostConfig(host), from, newName);

test("-v: binds, named and anonymous volumes with their modes", () => {
  const bind = parseBind("/host/dir/:/data/:ro,rslave", "", newName);
  assert.deepEqual([bind.Type, bind.Source, bind.Destination, bind.RW, bind.Propagation, bind.CreateSource], ["bind", "/host/dir", "/data", false, "rslave", true]);
  const named = parseBind("data:/var/lib", "", newName);
  assert.deepEqual([named.Type, named.Name, named.Driver, named.Mode, named.Anonymous, named.CopyUp], ["volume", "data", "local", "z", false, true]);
  const anonymous = parseBind("/cache", "", newName);
  assert.deepEqual([anonymous.Type, anonymous.Anonymous, anonymous.Destination], ["volume", true, "/cache"]);
});

test("-v: what it cannot be", () => {
  assert.throws(() => parseBind("a:b:c:d", "", newName), { message: "invalid volume specification: 'a:b:c:d'" });
  assert.throws(() => parseBind("/x:/y:nope", "", newName), { message: "invalid volume specification: '/x:/y:nope': invalid mode: nope" });
  assert.throws(() => parseBind("/x:/", "", newName), /destination can't be '\/'/);
  assert.throws(() => parseBind("we ird:/x", "", newName), /includes invalid characters for a local volume name/);
});

test("the image's volumes fill what is left, parents come first", () => {
  const { mounts, volumes } = resolve({ Binds: ["named:/data/deep"], Mounts: [{ Type: "tmpfs", Target: "/data", TmpfsOptions: { SizeBytes: 1024 } }] }, { Volumes: { "/data/deep": {}, "/other": {} } });
  assert.deepEqual(mounts.map((mount) => [mount.Destination, mount.Type]), [["/data", "tmpfs"], ["/other", "volume"], ["/data/deep", "volume"]]);
  assert.deepEqual(volumes.map((volume) => [volume.name.replace(/\d+$/, ""), volume.anonymous]), [["anon", true], ["named", false]]);
});

test("--volumes-from gives way to -v, and ro holds for all of it", () => {
  const { mounts: other } = resolve({ Binds: ["one:/a", "/h:/b"] });
  const { mounts } = resolve({ Binds: ["mine:/a"] }, {}, [{ mode: "ro", mounts: other }]);
  assert.deepEqual(mounts.map((mount) => [mount.Destination, mount.Name, mount.RW]), [["/a", "mine", true], ["/b", "", false]]);
  assert.deepEqual(parseVolumesFrom("c:ro"), { ref: "c", mode: "ro" });
});

test("one destination once; tmpfs options only its own", () => {
  assert.throws(() => resolve({ Binds: ["x1:/a", "x2:/a/"] }), { message: "Duplicate mount point: /a" });
  assert.throws(() => resolve({ Tmpfs: { "/t": "lowerdir=/" } }), { message: 'invalid tmpfs option "lowerdir=/"' });
  assert.deepEqual(resolve({ Tmpfs: { "/t": "size=64m,noexec,mode=1770" } }).mounts[0]!.TmpfsOptions, ["size=64m", "noexec", "mode=1770"]);
  assert.throws(() => resolve({ Mounts: [{ Type: "bind", Source: "rel", Target: "/x" }] }), { message: `invalid mount config for type "bind": invalid mount path: 'rel' mount path must be absolute` });
  assert.throws(() => resolve({ Mounts: [{ Type: "npipe", Source: "x", Target: "/x" }] }), { message: 'mount type unknown: "npipe"' });
});
