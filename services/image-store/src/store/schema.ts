import type { Migration } from "kysely/migration";

/** JSON in columns named `*_json`. Times in milliseconds since the epoch. */
export interface Tables {
  images: {
    id: string;
    /** The exact text whose digest is the ID. */
    config: string;
    parent: string | null;
    created: number | null;
    os: string;
    labels_json: string | null;
    /** `StoredLayer[]`, bottom first. */
    layers_json: string;
  };
  tags: { repo: string; tag: string; image_id: string | null; manifest: string | null; updated: number };
  repo_digests: { repo: string; digest: string; image_id: string | null };
  manifests: {
    digest: string;
    media_type: string;
    kind: string;
    /** The exact text. */
    body: string;
    /** Bytes. */
    size: number;
    image_id: string | null;
    subject: string | null;
    artifact_type: string | null;
    annotations_json: string | null;
    /** Digests of blobs, or of manifests for an index. */
    refs_json: string;
  };
  /** The gzip blob that a push made of an uncompressed layer. */
  compressed_layers: { diff_id: string; digest: string; size: number };
  /** Claims of others that names are asked for under. */
  fences: { key: string; epoch: number; raised_at: number };
}

export const migrations: Readonly<Record<string, Migration>> = {
  "001_images": {
    async up(db) {
      await db.schema.createTable("images")
        .addColumn("id", "text", (c) => c.primaryKey())
        .addColumn("config", "text", (c) => c.notNull())
        .addColumn("parent", "text")
        .addColumn("created", "bigint")
        .addColumn("os", "text", (c) => c.notNull())
        .addColumn("labels_json", "text")
        .addColumn("layers_json", "text", (c) => c.notNull())
        .execute();
      await db.schema.createTable("tags")
        .addColumn("repo", "text", (c) => c.notNull())
        .addColumn("tag", "text", (c) => c.notNull())
        .addColumn("image_id", "text")
        .addColumn("manifest", "text")
        .addColumn("updated", "bigint", (c) => c.notNull())
        .addPrimaryKeyConstraint("tags_key", ["repo", "tag"])
        .execute();
      await db.schema.createTable("repo_digests")
        .addColumn("repo", "text", (c) => c.notNull())
        .addColumn("digest", "text", (c) => c.notNull())
        .addColumn("image_id", "text")
        .addPrimaryKeyConstraint("repo_digests_key", ["repo", "digest"])
        .execute();
      await db.schema.createTable("manifests")
        .addColumn("digest", "text", (c) => c.primaryKey())
        .addColumn("media_type", "text", (c) => c.notNull())
        .addColumn("kind", "text", (c) => c.notNull())
        .addColumn("body", "text", (c) => c.notNull())
        .addColumn("size", "bigint", (c) => c.notNull())
        .addColumn("image_id", "text")
        .addColumn("subject", "text")
        .addColumn("artifact_type", "text")
        .addColumn("annotations_json", "text")
        .addColumn("refs_json", "text", (c) => c.notNull())
        .execute();
      await db.schema.createTable("compressed_layers")
        .addColumn("diff_id", "text", (c) => c.primaryKey())
        .addColumn("digest", "text", (c) => c.notNull())
        .addColumn("size", "bigint", (c) => c.notNull())
        .execute();
    },
  },
  "002_fences": {
    async up(db) {
      await db.schema.createTable("fences")
        .addColumn("key", "text", (c) => c.primaryKey())
        .addColumn("epoch", "integer", (c) => c.notNull())
        .addColumn("raised_at", "bigint", (c) => c.notNull())
        .execute();
    },
  },
};
