import { fail } from "@gantry/contracts";

const MAX_PORTS = 65_536;

/** `8080`, `53/udp`, `8000-8002/tcp`, `[ip:]host:container` → `["8080/tcp", …]`. INVALID in Docker's words. */
export function parseExposedPorts(spec: string): string[] {
  const slash = spec.indexOf("/");
  const protocol = (slash < 0 ? "tcp" : spec.slice(slash + 1)).toLowerCase();
  const ports = slash < 0 ? spec : spec.slice(0, slash);
  const container = ports.slice(ports.lastIndexOf(":") + 1);
  if (container === "") throw fail("INVALID", `No port specified: ${spec}<empty>`);
  if (!["tcp", "udp", "sctp"].includes(protocol)) throw fail("INVALID", `Invalid proto: ${protocol}`);
  const match = /^(\d{1,6})(?:-(\d{1,6}))?$/.exec(container);
  const first = Number(match?.[1]);
  const last = Number(match?.[2] ?? match?.[1]);
  if (match === null || last < first || last >= MAX_PORTS) throw fail("INVALID", `Invalid containerPort: ${container}`);
  return Array.from({ length: last - first + 1 }, (_, i) => `${first + i}/${protocol}`);
}
