import { Type as T } from "typebox";
import { Empty, Filters, Id, Nullable, Opaque, Ref } from "./common.ts";
import { command, query } from "./message.ts";

/** Docker's `POST /networks/create` body. The scheduler picks a free subnet where none is asked for. */
export const networkCreate = command("scheduler.network.create.v1", T.Object({ id: Id, body: Opaque }), T.Object({ id: Id, warning: T.String() }));
/** Docker's Network resource; `Containers` filled from what nodes reported. */
export const networkInspect = query("scheduler.network.inspect.v1", T.Object({ ref: Ref }), T.Object({ network: Opaque }));
export const networkList = query("scheduler.network.list.v1", T.Object({ filters: Filters }), T.Object({ networks: T.Array(Opaque) }));
export const networkRemove = command("scheduler.network.remove.v1", T.Object({ ref: Ref }), Empty);
export const networkPrune = command("scheduler.network.prune.v1", T.Object({ filters: Filters }), T.Object({ names: T.Array(T.String()) }));
export const networkConnect = command("scheduler.network.connect.v1", T.Object({ ref: Ref, container: Ref, endpoint: Nullable(Opaque) }), Empty);
export const networkDisconnect = command("scheduler.network.disconnect.v1", T.Object({ ref: Ref, container: Ref, force: T.Boolean() }), Empty);

/** The network record a node needs: Docker's Network resource with IPAM settled, and `Bridge`, the host's bridge name. */
/**
 * Makes the bridge. With `unused`, CONFLICT when the host itself uses an overlapping subnet, `details.subnets` naming those it uses:
 * for subnets that the scheduler picked.
 */
export const nodeNetworkCreate = command("node.network.create.v1", T.Object({ network: Opaque, unused: T.Boolean(), epoch: T.Optional(T.Integer()) }), Empty);
export const nodeNetworkRemove = command("node.network.remove.v1", T.Object({ networkId: Id, epoch: T.Optional(T.Integer()) }), Empty);
export const nodeNetworkConnect = command("node.network.connect.v1",
  T.Object({ containerId: Id, epoch: T.Integer(), network: Opaque, endpoint: Opaque }), T.Object({ endpoint: Opaque }));
export const nodeNetworkDisconnect = command("node.network.disconnect.v1", T.Object({ containerId: Id, epoch: T.Integer(), networkId: Id }), Empty);
