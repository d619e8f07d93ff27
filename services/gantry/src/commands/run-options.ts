import { fail } from "@gantry/contracts";

export interface RunOptions {
  detach?: boolean; interactive?: boolean; tty?: boolean; rm?: boolean; init?: boolean; privileged?: boolean; readOnly?: boolean; publishAll?: boolean;
  env?: string[]; workdir?: string; user?: string; volume?: string[]; publish?: string[]; name?: string; network?: string; networkAlias?: string[];
  entrypoint?: string; hostname?: string; memory?: string; cpus?: string; restart?: string; label?: string[];
}

/** Docker's create body for `gantry run`'s options. Pure. Errors are INVALID, with docker's words. */
export function createBody(image: string, command: readonly string[], o: RunOptions): Record<string, unknown> {
  const ports = (o.publish ?? []).map(parsePort);
  const exposed = Object.fromEntries(ports.map((p) => [p.container, {}]));
  const bindings: Record<string, { HostIp: string; HostPort: string }[]> = {};
  for (const p of ports) (bindings[p.container] ??= []).push({ HostIp: p.hostIp, HostPort: p.hostPort });
  const attach = !o.detach;
  return {
    Image: image,
    ...(command.length > 0 ? { Cmd: command } : {}),
    ...(o.entrypoint === undefined ? {} : { Entrypoint: o.entrypoint === "" ? [""] : [o.entrypoint] }),
    Env: (o.env ?? []).flatMap((e) => (e.includes("=") ? [e] : process.env[e] === undefined ? [] : [`${e}=${process.env[e]}`])),
    WorkingDir: o.workdir ?? "",
    User: o.user ?? "",
    Hostname: o.hostname ?? "",
    Labels: Object.fromEntries((o.label ?? []).map((l) => [l.split("=", 1)[0]!, l.slice(l.indexOf("=") + 1 || l.length)])),
    Tty: o.tty ?? false,
    OpenStdin: o.interactive ?? false,
    StdinOnce: (o.interactive ?? false) && attach,
    AttachStdin: (o.interactive ?? false) && attach,
    AttachStdout: attach,
    AttachStderr: attach,
    ExposedPorts: exposed,
    HostConfig: {
      AutoRemove: o.rm ?? false,
      Binds: (o.volume ?? []).map(absoluteBind),
      PortBindings: bindings,
      PublishAllPorts: o.publishAll ?? false,
      NetworkMode: o.network ?? "default",
      Init: o.init ?? false,
      Privileged: o.privileged ?? false,
      ReadonlyRootfs: o.readOnly ?? false,
      RestartPolicy: restartPolicy(o.restart ?? "no"),
      ...(o.memory === undefined ? {} : { Memory: bytes(o.memory) }),
      ...(o.cpus === undefined ? {} : { NanoCpus: Math.round(Number(o.cpus) * 1e9) }),
    },
    ...(o.network !== undefined && (o.networkAlias?.length ?? 0) > 0 ? { NetworkingConfig: { EndpointsConfig: { [o.network]: { Aliases: o.networkAlias } } } } : {}),
  };
}

/** `[ip:][hostPort:]containerPort[/proto]`, IPv6 in brackets. */
export function parsePort(text: string): { container: string; hostIp: string; hostPort: string } {
  const match = /^(?:(?:(\[[0-9a-fA-F:]+\]|[0-9.]+):)?([0-9]*(?:-[0-9]+)?):)?([0-9]+)(?:\/(tcp|udp|sctp))?$/.exec(text);
  if (!match || Number(match[3]) > 65535) throw fail("INVALID", `invalid publish option ${text}: give [ip:][hostPort:]containerPort[/tcp|udp]`);
  return { hostIp: (match[1] ?? "").replace(/^\[|\]$/g, ""), hostPort: match[2] ?? "", container: `${match[3]}/${match[4] ?? "tcp"}` };
}

/** `64m`, `1g`, `1024`: bytes, in powers of 1024. */
export function bytes(text: string): number {
  const match = /^([0-9]+(?:\.[0-9]+)?)([bkmgt]?)b?$/i.exec(text);
  if (!match) throw fail("INVALID", `invalid size: '${text}'`);
  return Math.round(Number(match[1]) * 1024 ** "bkmgt".indexOf((match[2] || "b").toLowerCase()));
}

function restartPolicy(text: string): { Name: string; MaximumRetryCount: number } {
  const match = /^(no|always|unless-stopped|on-failure)(?::([0-9]+))?$/.exec(text);
  if (!match || (match[2] !== undefined && match[1] !== "on-failure")) throw fail("INVALID", `invalid restart policy: '${text}'`);
  return { Name: match[1]!, MaximumRetryCount: Number(match[2] ?? 0) };
}

function absoluteBind(text: string): string {
  return /^\.{1,2}(\/|:)/.test(text) ? new URL(text.split(":")[0]!, `file://${process.cwd()}/`).pathname + text.slice(text.indexOf(":")) : text;
}
