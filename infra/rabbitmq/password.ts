import { createHash, randomBytes } from "node:crypto";

/**
 * Definitions of a user who may declare, write and read what is named `gantry.…` in the virtual host, and nothing else there.
 * Hash: base64 of a 4-byte salt and SHA-256 of salt and password (RabbitMQ, "Credentials and Passwords").
 */
export function usersOf(user: string, password: string, vhost: string, salt: Uint8Array = randomBytes(4)): Record<string, unknown> {
  const hash = createHash("sha256").update(salt).update(password, "utf8").digest();
  return {
    users: [{ name: user, password_hash: Buffer.concat([salt, hash]).toString("base64"), hashing_algorithm: "rabbit_password_hashing_sha256", tags: [] }],
    permissions: [{
      user, vhost,
      configure: "^gantry\\.",
      // Commands, jobs and replies go through the default exchange, by the name of their queue.
      write: "^(gantry\\..*|amq\\.default)$",
      read: "^(gantry\\..*|amq\\.rabbitmq\\.reply-to)$",
    }],
  };
}
