import { dockerEvent, type DockerEvent } from "@gantry/contracts";
import type { Database } from "@gantry/database";
import type { Kysely } from "kysely";
import type { Change, ImageRecord, ManifestRecord, StoredLayer } from "../domain/catalog.ts";
import type { Tables } from "./schema.ts";

/** Longer than any claim lives. */
const FENCES_KEPT_MS = 7 * 24 * 3600 * 1000;

type Row<N extends keyof Tables> = Tables[N];

/** The database side of the catalog: reads all of it at the start, carries out changes, and keeps the long texts. */
export class Repository {
  readonly #database: Database<Tables>;

  constructor(database: Database<Tables>) {
    this.#database = database;
  }

  /** Everything there is, as changes to an empty catalog. Texts are left in the database. */
  async load(): Promise<Change[]> {
    const { query } = this.#database;
    const changes: Change[] = [];
    for (const row of await query.selectFrom("images").select(["id", "parent", "created", "os", "labels_json", "layers_json"]).execute()) {
      changes.push({ type: "image", record: imageOf(row), config: "" });
    }
    for (const row of await query.selectFrom("manifests").select(["digest", "media_type", "kind", "size", "image_id", "subject", "artifact_type", "annotations_json", "refs_json"]).execute()) {
      changes.push({ type: "manifest", record: manifestOf(row), body: "" });
    }
    for (const row of await query.selectFrom("repo_digests").selectAll().execute()) {
      changes.push({ type: "digest", record: { repo: row.repo, digest: row.digest, imageId: row.image_id } });
    }
    for (const row of await query.selectFrom("tags").selectAll().execute()) {
      changes.push({ type: "tag", record: { repo: row.repo, tag: row.tag, imageId: row.image_id, manifest: row.manifest, updated: Number(row.updated) } });
    }
    for (const row of await query.selectFrom("compressed_layers").selectAll().execute()) {
      changes.push({ type: "compressed", diffId: row.diff_id, digest: row.digest, size: Number(row.size) });
    }
    for (const row of await query.selectFrom("fences").selectAll().orderBy("raised_at").execute()) {
      changes.push({ type: "fence", key: row.key, epoch: row.epoch, raisedAt: Number(row.raised_at) });
    }
    return changes;
  }

  /** All changes and the events that tell of them, or none. */
  async commit(changes: readonly Change[], events: readonly DockerEvent[]): Promise<void> {
    await this.#database.transaction(async (tx, outbox) => {
      for (const change of changes) await carryOut(tx, change);
      for (const event of events) await outbox.publish(dockerEvent, event);
    });
  }

  async config(id: string): Promise<string | null> {
    const row = await this.#database.query.selectFrom("images").select("config").where("id", "=", id).executeTakeFirst();
    return row?.config ?? null;
  }

  async manifestBody(digest: string): Promise<string | null> {
    const row = await this.#database.query.selectFrom("manifests").select("body").where("digest", "=", digest).executeTakeFirst();
    return row?.body ?? null;
  }
}

function imageOf(row: Omit<Row<"images">, "config">): ImageRecord {
  return {
    id: row.id,
    parent: row.parent,
    created: row.created === null ? null : Number(row.created),
    os: row.os,
    labels: row.labels_json === null ? null : JSON.parse(row.labels_json) as Record<string, string>,
    layers: JSON.parse(row.layers_json) as StoredLayer[],
  };
}

function manifestOf(row: Omit<Row<"manifests">, "body">): ManifestRecord {
  return {
    digest: row.digest,
    mediaType: row.media_type,
    kind: row.kind === "index" ? "index" : "manifest",
    size: Number(row.size),
    imageId: row.image_id,
    subject: row.subject,
    artifactType: row.artifact_type,
    annotations: row.annotations_json === null ? null : JSON.parse(row.annotations_json) as Record<string, string>,
    refs: JSON.parse(row.refs_json) as string[],
  };
}

async function carryOut(tx: Kysely<Tables>, change: Change): Promise<void> {
  switch (change.type) {
    case "image": {
      const { record } = change;
      await tx.insertInto("images").values({
        id: record.id, config: change.config, parent: record.parent, created: record.created, os: record.os,
        labels_json: record.labels === null ? null : JSON.stringify(record.labels), layers_json: JSON.stringify(record.layers),
      }).onConflict((oc) => oc.column("id").doUpdateSet((eb) => ({ parent: eb.ref("excluded.parent"), layers_json: eb.ref("excluded.layers_json") }))).execute();
      return;
    }
    case "deleteImage":
      await tx.deleteFrom("images").where("id", "=", change.id).execute();
      return;
    case "tag": {
      const { record } = change;
      await tx.insertInto("tags")
        .values({ repo: record.repo, tag: record.tag, image_id: record.imageId, manifest: record.manifest, updated: record.updated })
        .onConflict((oc) => oc.columns(["repo", "tag"]).doUpdateSet((eb) => ({
          image_id: eb.ref("excluded.image_id"), manifest: eb.ref("excluded.manifest"), updated: eb.ref("excluded.updated"),
        }))).execute();
      return;
    }
    case "untag":
      await tx.deleteFrom("tags").where("repo", "=", change.repo).where("tag", "=", change.tag).execute();
      return;
    case "digest": {
      const { record } = change;
      await tx.insertInto("repo_digests").values({ repo: record.repo, digest: record.digest, image_id: record.imageId })
        .onConflict((oc) => oc.columns(["repo", "digest"]).doUpdateSet((eb) => ({ image_id: eb.ref("excluded.image_id") }))).execute();
      return;
    }
    case "undigest":
      await tx.deleteFrom("repo_digests").where("repo", "=", change.repo).where("digest", "=", change.digest).execute();
      return;
    case "manifest": {
      const { record } = change;
      await tx.insertInto("manifests").values({
        digest: record.digest, media_type: record.mediaType, kind: record.kind, body: change.body, size: record.size, image_id: record.imageId,
        subject: record.subject, artifact_type: record.artifactType,
        annotations_json: record.annotations === null ? null : JSON.stringify(record.annotations), refs_json: JSON.stringify(record.refs),
      }).onConflict((oc) => oc.column("digest").doUpdateSet((eb) => ({ image_id: eb.ref("excluded.image_id"), media_type: eb.ref("excluded.media_type") }))).execute();
      return;
    }
    case "compressed":
      await tx.insertInto("compressed_layers").values({ diff_id: change.diffId, digest: change.digest, size: change.size })
        .onConflict((oc) => oc.column("diff_id").doUpdateSet((eb) => ({ digest: eb.ref("excluded.digest"), size: eb.ref("excluded.size") }))).execute();
      return;
    case "fence": {
      const { key, epoch, raisedAt } = change;
      await tx.deleteFrom("fences").where("raised_at", "<", raisedAt - FENCES_KEPT_MS).execute();
      await tx.insertInto("fences").values({ key, epoch, raised_at: raisedAt }).onConflict((oc) => oc.column("key").doUpdateSet({ epoch, raised_at: raisedAt })).execute();
      return;
    }
    case "deleteManifest":
      await tx.deleteFrom("manifests").where("digest", "=", change.digest).execute();
      return;
  }
}
