import { silentLogger, systemClock } from "@gantry/kernel";
import { sharedRabbit, uniqueName } from "@gantry/testkit";
import { connect } from "amqplib";
import { busContractSuite } from "../contract-suite/suite.ts";
import { SUITE_LIMITS } from "../contract-suite/support.ts";
import { openBus } from "../open.ts";

busContractSuite("RabbitMQ", async () => {
  const rabbit = await sharedRabbit();
  const namespace = uniqueName("bus");
  const model = await connect(rabbit.url);
  const channel = await model.createConfirmChannel();
  return {
    open: (service) => openBus(rabbit.url, { service, namespace, limits: SUITE_LIMITS, clock: systemClock, logger: silentLogger }),
    async sendRaw({ queue, id, name, body }) {
      channel.publish("", `${namespace}.${queue}`, Buffer.from(body), { ...(id === "" ? {} : { messageId: id }), ...(name === "" ? {} : { type: name }) });
      await channel.waitForConfirms();
    },
    async [Symbol.asyncDispose]() {
      await model.close();
      await rabbit[Symbol.asyncDispose]();
    },
  };
});
