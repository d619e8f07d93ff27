import { Type as T, type Static } from "typebox";
import { StringMap } from "./common.ts";
import { event } from "./message.ts";

/** A row of `GET /events`, in Docker's shape: published by whoever owns the thing it tells of. */
export const DockerEvent = T.Object({
  Type: T.Union([T.Literal("container"), T.Literal("image"), T.Literal("network"), T.Literal("volume"), T.Literal("builder"), T.Literal("daemon"), T.Literal("node")]),
  Action: T.String(),
  Actor: T.Object({ ID: T.String(), Attributes: StringMap }),
  scope: T.String(),
  time: T.Integer(),
  timeNano: T.Integer(),
});
export type DockerEvent = Static<typeof DockerEvent>;

export const dockerEvent = event("gantry.event.v1", DockerEvent);
