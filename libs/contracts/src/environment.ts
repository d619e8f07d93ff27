import { Type as T } from "typebox";

/** Where a service finds what it works with: fields of its environment, read by `configFromEnv`. */
export const Addresses = {
  busUrl: T.String({ description: "the message bus: amqp://user:password@host:port/vhost, or amqps://" }),
  databaseUrl: T.String({ description: "the database: postgres://user:password@host:port/database" }),
  cacheUrl: T.String({ default: "memory:", description: "the digest cache: redis://host:port, or memory: for one of this process alone" }),
  imageStore: T.String({ description: "address of the image store: unix:/path or https://host:port (http:// on loopback)" }),
};
