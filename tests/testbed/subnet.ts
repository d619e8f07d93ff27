import { randomInt } from "node:crypto";
import { networkInterfaces } from "node:os";

/** `10.214.N`, where this machine has no address in 10.214.N.0/24 now. */
export function freeSubnet(): string {
  const taken = new Set(Object.values(networkInterfaces()).flatMap((list) => list ?? []).map(({ address }) => address.split(".").slice(0, 3).join(".")));
  for (;;) {
    const subnet = `10.214.${randomInt(1, 255)}`;
    if (!taken.has(subnet)) return subnet;
  }
}
