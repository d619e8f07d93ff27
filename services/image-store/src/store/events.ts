import type { DockerEvent } from "@gantry/contracts";
import type { Clock } from "@gantry/kernel";

export type ImageAction = "pull" | "push" | "tag" | "untag" | "delete" | "load" | "import" | "save" | "prune";

/** An image event as Docker's daemon makes it: the image's labels and `name` are its attributes. */
export function imageEvent(
  clock: Clock, action: ImageAction, actorId: string, name: string | null, labels: Readonly<Record<string, string>> | null, extra: Record<string, string> = {},
): DockerEvent {
  const nano = clock.nowNano();
  return {
    Type: "image",
    Action: action,
    Actor: { ID: actorId, Attributes: { ...labels, ...(name === null ? {} : { name }), ...extra } },
    scope: "local",
    time: Number(nano / 1_000_000_000n),
    // More than 53 bits: JSON numbers of this size are rounded to the nearest 256 ns by every JavaScript reader.
    timeNano: Number(nano),
  };
}
