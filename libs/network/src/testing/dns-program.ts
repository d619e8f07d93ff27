/** Program of a test: serves DNS on descriptors 3 (UDP) and 4 (TCP) for the container "app", as the agent does for one. */
import { silentLogger, systemClock } from "@gantry/kernel";
import { DnsServers } from "../dns/server.ts";
import { HostResolvers } from "../dns/upstream.ts";
import { Zone } from "../dns/zone.ts";

export interface DnsProgram { resolvers: string[]; internal: boolean }

const given = JSON.parse(process.argv[2]!) as DnsProgram;
const zone = new Zone();
zone.setNetwork("n1", { name: "front", internal: given.internal });
zone.register("app", [{ networkId: "n1", ip: "172.18.0.3", ip6: null, names: ["app"] }]);
zone.register("web", [{ networkId: "n1", ip: "172.18.0.2", ip6: null, names: ["web", "site"] }]);
const servers = new DnsServers(zone, new HostResolvers(systemClock, given.resolvers), silentLogger);
await servers.serve({ containerId: "app", udpFd: 3, tcpFd: 4, servers: null });
process.on("disconnect", () => void servers.stopAll().then(() => process.exit(0)));
process.send!("ready");
