import { isLoopback, parseIp } from "./ip.ts";
import type { NetworkConfig } from "./port.ts";

/**
 * The firewall as text of the nft language: pure. One table per family, `ip`, and where networks need them `ip6` and `bridge`.
 *
 * A published port is one element of a map, a network a few elements and two or three small chains. Base chains accept by
 * default and judge only what comes from or goes to our bridges, so that other tables on the host (Docker's) are left alone.
 */

/** A published port as the firewall sees it. `hostIp` "0.0.0.0" or "::": every address of the host. */
export interface PortRule {
  hostIp: string;
  hostPort: number;
  containerIp: string;
  containerPort: number;
  protocol: "tcp" | "udp" | "sctp";
}

export interface FirewallState {
  networks: readonly NetworkConfig[];
  ports: readonly PortRule[];
}

type Family = "ip" | "ip6";

/** Replaces all tables of this name in one transaction; what was there is gone. */
export function renderAll(table: string, state: FirewallState): string {
  const parts = removeAll(table);
  parts.push(renderTable(table, "ip", state));
  if (state.networks.some((n) => n.ipv6 !== null)) parts.push(renderTable(table, "ip6", state));
  const closed = state.networks.filter((n) => !n.icc);
  if (closed.length > 0) parts.push(renderBridgeTable(table, closed));
  return parts.join("\n");
}

/** Commands that remove the tables, whether they are there or not. */
export function removeAll(table: string): string[] {
  return ["ip", "ip6", "bridge"].flatMap((family) => [`add table ${family} ${table}`, `delete table ${family} ${table}`]);
}

/** Commands that publish ports, one element each (two with the one that exempts the container itself). */
export function addPorts(table: string, rules: readonly PortRule[]): string {
  return elements("add", table, rules);
}

export function deletePorts(table: string, rules: readonly PortRule[]): string {
  return elements("delete", table, rules);
}

function elements(verb: "add" | "delete", table: string, rules: readonly PortRule[]): string {
  const lines: string[] = [];
  for (const family of ["ip", "ip6"] as const) {
    for (const [name, list] of portElements(family, rules, verb === "add")) {
      if (list.length > 0) lines.push(`${verb} element ${family} ${table} ${name} { ${list.join(", ")} }`);
    }
  }
  return lines.join("\n");
}

/** Which rules the firewall carries: both ends of one family; not [::1], which the kernel does not route (see PortHolder). */
function inFamily(family: Family, rule: PortRule): boolean {
  const bits = family === "ip" ? 32 : 128;
  return parseIp(rule.hostIp)?.bits === bits && parseIp(rule.containerIp)?.bits === bits && !(bits === 128 && isLoopback(rule.hostIp));
}

function portElements(family: Family, rules: readonly PortRule[], withTarget: boolean): [name: string, elements: string[]][] {
  const every: string[] = [];
  const single: string[] = [];
  const own: string[] = [];
  for (const rule of rules) {
    if (!inFamily(family, rule)) continue;
    const target = withTarget ? ` : ${rule.containerIp} . ${rule.containerPort}` : "";
    const key = `${rule.protocol} . ${rule.hostPort}`;
    if (rule.hostIp === "0.0.0.0" || rule.hostIp === "::") every.push(key + target);
    else single.push(`${rule.hostIp} . ${key}${target}`);
    own.push(`${rule.containerIp} . ${key}`);
  }
  return [["published", every], ["published_at", single], ["own", [...new Set(own)]]];
}

function renderTable(table: string, family: Family, state: FirewallState): string {
  const networks = state.networks.flatMap((network) => {
    const subnet = family === "ip" ? network.subnet : network.ipv6?.subnet;
    return subnet === undefined ? [] : [{ network, subnet }];
  });
  const addr = family === "ip" ? "ipv4_addr" : "ipv6_addr";
  const ports = new Map(portElements(family, state.ports, true));
  const bridges = networks.map(({ network }) => quote(network.bridge));
  const internal = networks.filter(({ network }) => network.internal);
  const verdicts = (kind: string, of: typeof networks) => of.map(({ network }) => `${quote(network.bridge)} : goto ${kind}_${tag(network)}`);
  const translate = [
    `dnat ${family} to ${family} daddr . meta l4proto . th dport map @published_at`,
    `fib daddr type local dnat ${family} to meta l4proto . th dport map @published`,
  ];
  const loopback = family === "ip" ? "127.0.0.0/8" : "::1";
  return block(`table ${family} ${table}`, [
    set("map", "published", `inet_proto . inet_service : ${addr} . inet_service`, ports.get("published")),
    set("map", "published_at", `${addr} . inet_proto . inet_service : ${addr} . inet_service`, ports.get("published_at")),
    // A container that calls its own published port: translated back to itself, the bridge would not send the packet out of the
    // port it came from. Left alone, it reaches the agent's listener, which forwards.
    set("set", "own", `${addr} . inet_proto . inet_service`, ports.get("own")),
    set("set", "bridges", "ifname", bridges),
    set("map", "to_network", "ifname : verdict", verdicts("to", networks)),
    set("map", "from_internal", "ifname : verdict", internal.map(({ network }) => `${quote(network.bridge)} : jump from_${tag(network)}`)),
    set("map", "source", `${addr} : verdict; flags interval`, networks.map(({ network, subnet }) => `${subnet} : goto source_${tag(network)}`)),
    ...networks.flatMap(({ network }) => networkChains(network)),
    chain("guard", "filter hook prerouting priority raw", [
      // route_localnet makes the host's loopback addresses routable on our bridges: not for containers.
      `iifname @bridges ${family} daddr ${loopback} drop`,
    ]),
    chain("prerouting", "nat hook prerouting priority dstnat", [
      // Ports published on loopback are for the host alone; without this, neighbours could send packets for 127.0.0.1.
      `${family} daddr ${loopback} return`,
      `${family} saddr . meta l4proto . th dport @own return`,
      ...translate,
    ]),
    chain("output", "nat hook output priority -100", family === "ip6" ? [`ip6 daddr ${loopback} return`, ...translate] : translate),
    chain("postrouting", "nat hook postrouting priority srcnat", [
      `${family} saddr ${loopback} oifname @bridges masquerade`,
      `${family} saddr vmap @source`,
    ]),
    chain("forward", "filter hook forward priority filter", [
      "ct state established,related accept",
      "iifname vmap @from_internal",
      "oifname vmap @to_network",
    ]),
  ]);
}

function networkChains(network: NetworkConfig): string[] {
  const bridge = quote(network.bridge);
  const within = network.icc ? [`iifname ${bridge} accept`] : [];
  const chains = [
    block(`chain to_${tag(network)}`, [...within, ...(network.internal ? [] : ["ct status dnat accept"]), "drop"]),
    block(`chain source_${tag(network)}`, [
      // Within the network by a published port: the answer must come back the same way.
      `oifname ${bridge} ct status dnat masquerade`,
      ...(network.masquerade && !network.internal ? [`oifname != ${bridge} masquerade`] : []),
    ]),
  ];
  if (network.internal) chains.push(block(`chain from_${tag(network)}`, [`oifname != ${bridge} drop`]));
  return chains;
}

/**
 * `icc=false`: what a bridge forwards never reaches another of its ports. It does not pass the `ip` tables unless the host runs
 * br_netfilter. ARP may pass. What the host itself sends (published ports) is not forwarded by the bridge.
 */
function renderBridgeTable(table: string, networks: readonly NetworkConfig[]): string {
  const rules = networks.flatMap((n) => [`ip daddr ${n.subnet} drop`, ...(n.ipv6 === null ? [] : [`ip6 daddr ${n.ipv6.subnet} drop`])]);
  return block(`table bridge ${table}`, [chain("forward", "filter hook forward priority filter", rules)]);
}

/** Chain names from the network's ID: a bridge's name may have characters that nft's identifiers may not. */
function tag(network: NetworkConfig): string {
  return network.id.slice(0, 12);
}

/** Interface names are checked when a network is made (host.ts) and hold no quotes. */
function quote(name: string): string {
  return `"${name}"`;
}

function chain(name: string, hook: string, rules: readonly string[]): string {
  return block(`chain ${name}`, [`type ${hook}; policy accept`, ...rules]);
}

function set(kind: "set" | "map", name: string, type: string, list: readonly string[] | undefined): string {
  const content = list === undefined || list.length === 0 ? [] : [`elements = { ${list.join(", ")} }`];
  return block(`${kind} ${name}`, [`type ${type}`, ...content]);
}

function block(head: string, lines: readonly string[]): string {
  return `${head} {\n${lines.map((line) => (line.endsWith("}") && line.includes("\n") ? line : `${line};`)).join("\n")}\n}`;
}
