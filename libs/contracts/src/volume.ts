import { Type as T } from "typebox";
import { Empty, Filters, Nullable, Opaque } from "./common.ts";
import { command, query } from "./message.ts";

const Name = T.String({ pattern: "^[a-zA-Z0-9][a-zA-Z0-9_.-]*$", maxLength: 255 });

/** Docker's `POST /volumes/create` body. Without a name it gets 64 hex digits. A volume lives on one node. */
export const volumeCreate = command("scheduler.volume.create.v1", T.Object({ name: Nullable(Name), body: Opaque }), T.Object({ volume: Opaque }));
export const volumeInspect = query("scheduler.volume.inspect.v1", T.Object({ name: T.String() }), T.Object({ volume: Opaque }));
export const volumeList = query("scheduler.volume.list.v1", T.Object({ filters: Filters }), T.Object({ volumes: T.Array(Opaque) }));
export const volumeRemove = command("scheduler.volume.remove.v1", T.Object({ name: T.String(), force: T.Boolean() }), Empty);
export const volumePrune = command("scheduler.volume.prune.v1", T.Object({ filters: Filters }), T.Object({ names: T.Array(T.String()), spaceReclaimed: T.Integer() }));

export const nodeVolumeCreate = command("node.volume.create.v1", T.Object({ name: Name, options: T.Record(T.String(), T.String()), epoch: T.Optional(T.Integer()) }), T.Object({ mountpoint: T.String() }));
export const nodeVolumeRemove = command("node.volume.remove.v1", T.Object({ name: Name, epoch: T.Optional(T.Integer()) }), Empty);
