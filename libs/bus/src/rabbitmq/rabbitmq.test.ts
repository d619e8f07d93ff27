import { silentLogger, systemClock } from "@gantry/kernel";
import { sharedRabbit, uniqueName } from "@gantry/testkit";
import { connect, type ConsumeMessage } from "amqplib";
import { busContractSuite } from "../contract-suite.ts";
import type { DeadLetter } from "../message.ts";
import { openBus } from "../open.ts";
import { toDeadLetter } from "./dead-letters.ts";

busContractSuite("RabbitMQ", async () => {
  const rabbit = await sharedRabbit();
  const namespace = uniqueName("bus");
  const model = await connect(rabbit.url);
  const letters = new Map<string, DeadLetter[]>();
  return {
    open: (service) => openBus(rabbit.url, { service, namespace, clock: systemClock, logger: silentLogger }),
    async deadLetters(queue) {
      const name = `${namespace}.${/^(job\.|group\.|subscriber$)/.test(queue) ? queue : `${queue}.commands`}.dead`;
      const channel = await model.createChannel();
      channel.on("error", () => {});
      const found = letters.get(queue) ?? [];
      letters.set(queue, found);
      for (;;) {
        const raw = await channel.get(name, { noAck: true });
        if (raw === false) break;
        found.push(toDeadLetter(raw as unknown as ConsumeMessage));
      }
      await channel.close();
      return found;
    },
    async [Symbol.asyncDispose]() {
      await model.close();
      await rabbit[Symbol.asyncDispose]();
    },
  };
});
