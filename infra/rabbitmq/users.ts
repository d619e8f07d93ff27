/**
 * Prints RabbitMQ definitions of Gantry's user, with a salted hash of the password on standard input:
 *
 *     node infra/rabbitmq/users.ts < /etc/gantry/rabbitmq-password > /etc/rabbitmq/definitions.d/20-users.json
 */
import { readFileSync } from "node:fs";
import { usersOf } from "./password.ts";

const password = readFileSync(0, "utf8").trimEnd();
if (password.length < 16) {
  process.stderr.write("the password has fewer than 16 characters: make one with `openssl rand -base64 24`\n");
  process.exit(1);
}
process.stdout.write(`${JSON.stringify(usersOf("gantry", password, "gantry"), null, 1)}\n`);
