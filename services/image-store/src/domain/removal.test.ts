import assert from "node:assert/strict";
import { test } from "node:test";
import { digestOf } from "@gantry/oci";
import { Catalog, type Change } from "./catalog.ts";
import { isSingleReference, planRemoval } from "./removal.ts";

const repo = (name: string) => `docker.io/library/${name}`;
const tag = (name: string, imageId: string): Change => ({ type: "tag", record: { repo: repo(name), tag: "latest", imageId, manifest: null, updated: 1 } });
const digest = (name: string, of: string, imageId: string): Change => ({ type: "digest", record: { repo: repo(name), digest: digestOf(of), imageId } });

function image(name: string, parent: string | null, layers: string[]): { id: string; change: Change } {
  const id = digestOf(`image ${name}`);
  return { id, change: { type: "image", config: "", record: {
    id, parent, created: 1, labels: null, os: "linux",
    layers: layers.map((layer) => ({ diffId: digestOf(layer), digest: digestOf(`blob ${layer}`), mediaType: "", blobSize: 1, size: 10 })),
  } } };
}

test("references of one repository are one", () => {
  const ref = (name: string, what: "tag" | "digest") => ({ repo: name, tag: what === "tag" ? "t" : null, digest: what === "digest" ? digestOf("d") : null });
  assert.ok(isSingleReference([]));
  assert.ok(isSingleReference([ref("a", "tag")]));
  assert.ok(isSingleReference([ref("a", "tag"), ref("a", "digest")]));
  assert.ok(!isSingleReference([ref("a", "tag"), ref("b", "digest")]));
  assert.ok(!isSingleReference([ref("a", "tag"), ref("b", "tag")]));
  assert.ok(isSingleReference([ref("a", "digest"), ref("a", "digest")]));
  assert.ok(!isSingleReference([ref("a", "digest"), ref("b", "digest")]));
});

test("a tag takes the digests of its repository along; a digest alone is only untagged", () => {
  const catalog = new Catalog();
  const { id, change } = image("x", null, ["l"]);
  catalog.apply([change, tag("x", id), digest("x", "m1", id), digest("x", "m2", id)]);
  const byTag = planRemoval(catalog, "x", { force: false, prune: true }, []);
  const digests = [digestOf("m1"), digestOf("m2")].sort();
  assert.deepEqual(byTag.rows, [{ Untagged: "x:latest" }, ...digests.map((d) => ({ Untagged: `x@${d}` })), { Deleted: id }, { Deleted: digestOf("l") }]);
  assert.equal(byTag.reclaimed, 10);
  assert.deepEqual(planRemoval(catalog, `x@${digestOf("m1")}`, { force: false, prune: true }, []).rows, [{ Untagged: `x@${digestOf("m1")}` }]);
  assert.deepEqual(byTag.events.map((event) => event.action), ["untag", "delete"]);
});

test("--no-prune keeps the parents; a parent in use, tagged or with other children stays", () => {
  const catalog = new Catalog();
  const a = image("a", null, ["1"]), b = image("b", a.id, ["1", "2"]), c = image("c", b.id, ["1", "2", "3"]);
  catalog.apply([a.change, b.change, c.change]);
  const deleted = (options: { prune: boolean }, uses: Parameters<typeof planRemoval>[3] = []) =>
    planRemoval(catalog, c.id, { force: true, ...options }, uses).rows.map((row) => row.Deleted).filter((id) => [a.id, b.id, c.id].includes(id!));
  assert.deepEqual(deleted({ prune: true }), [c.id, b.id, a.id]);
  assert.deepEqual(deleted({ prune: false }), [c.id]);
  assert.deepEqual(deleted({ prune: true }, [{ containerId: "f".repeat(64), imageId: b.id, running: false }]), [c.id]);
  catalog.apply([tag("keep", a.id)]);
  assert.deepEqual(deleted({ prune: true }), [c.id, b.id]);
  const d = image("d", b.id, ["1", "2", "4"]);
  catalog.apply([d.change]);
  assert.deepEqual(deleted({ prune: true }), [c.id]);
});

test("whatever is removed in whatever order, the catalog ends empty and counts nothing twice", () => {
  let seed = 7;
  const random = (n: number) => { seed = (seed * 1103515245 + 12345) & 0x7fffffff; return (seed >> 8) % n; };
  for (let round = 0; round < 50; round++) {
    const catalog = new Catalog();
    const images: { id: string; layers: string[] }[] = [];
    for (let i = 0; i < 12; i++) {
      const parent = images.length > 0 && random(3) > 0 ? images[random(images.length)]! : null;
      const layers = [...parent?.layers ?? [], ...random(2) > 0 ? [`layer ${random(6)}`] : []];
      const made = image(`${round}.${i}`, parent?.id ?? null, layers);
      images.push({ id: made.id, layers });
      catalog.apply([made.change, ...random(2) > 0 ? [tag(`n${random(5)}`, made.id)] : []]);
    }
    const size = [...catalog.images()].reduce((chains, one) => { one.chainIds.forEach((id) => chains.add(id)); return chains; }, new Set<string>()).size;
    let reclaimed = 0;
    for (let guard = 0; catalog.imageCount > 0; guard++) {
      assert.ok(guard < 200);
      const target = images[random(images.length)]!;
      if (catalog.image(target.id) === null) continue;
      try {
        const plan = planRemoval(catalog, target.id, { force: true, prune: random(2) > 0 }, []);
        catalog.apply(plan.changes);
        reclaimed += plan.reclaimed;
        for (const row of plan.rows) if (row.Deleted !== undefined) assert.equal(catalog.image(row.Deleted), null);
      } catch (e) {
        assert.match((e as Error).message, /image has dependent child images$/);
      }
    }
    assert.equal(reclaimed, size * 10);
    assert.deepEqual([catalog.repositories(), catalog.referencedBlobs().size], [[], 0]);
  }
});
