import type { Duplex } from "node:stream";
import { fileURLToPath } from "node:url";
import { fail } from "@gantry/contracts";
import { isGantryError, systemClock } from "@gantry/kernel";
import { Channel } from "./connection.ts";
import { connectMonitor, isNotice, Notices, openStream, startedContainer } from "./container.ts";
import { decodeExit, hasMonitorFile, readExit } from "./exit-file.ts";
import type { AttachOptions, ContainerSpec, ExitStatus, RunningContainer, Runtime } from "./port.ts";
import { askSpawner, connectSpawner, endOutdatedSpawner } from "./spawner.ts";
import { encodeAttach, encodeStart } from "./spec-wire.ts";
import { Kind, Writer } from "./wire.ts";

export { endSpawner } from "./spawner.ts";

export interface RuntimeOptions {
  /** The spawner's unix socket, `<state>/run/spawner.sock`; its directory exists. One spawner serves any number of clients. */
  readonly socket: string;
  /** The gantry-shim program; by default the one of native/build. */
  readonly shim?: string;
}

const SHIM = fileURLToPath(new URL("../../../native/build/gantry-shim", import.meta.url));
const FIND_MS = 10_000;

/** Connects to the spawner, starting it when none answers. Disposal closes connections; spawner and containers stay. */
export async function startRuntime(options: RuntimeOptions): Promise<Runtime> {
  const shim = options.shim ?? SHIM;
  const channels = new Set<Channel>();
  const keep = (channel: Channel): Channel => {
    channels.add(channel);
    void channel.closed.then(() => channels.delete(channel));
    return channel;
  };
  let disposed = false;

  const reap = async (dir: string): Promise<ExitStatus | null> => {
    try {
      return decodeExit((await askSpawner(options.socket, shim, new Writer(Kind.reap).str(dir).frame())).reader);
    } catch (e) {
      if (isGantryError(e, "NOT_FOUND")) return null;
      throw e;
    }
  };

  const afterwards = async (dir: string): Promise<ExitStatus> => {
    /* Who is disposed leaves containers alone, and nobody waits for these any more. */
    if (disposed) return new Promise<never>(() => {});
    const status = await readExit(dir) ?? await reap(dir) ?? await readExit(dir);
    if (status === null) throw fail("INTERNAL", `nothing is known of the container in ${dir}`);
    return status;
  };

  const startOnce = async (spec: ContainerSpec, request: Buffer, attach: readonly AttachOptions[]) => {
    const socket = await connectSpawner(options.socket, shim);
    const streams: Promise<Duplex>[] = [];
    const notices = new Notices(() => {
      for (const one of attach) {
        const stream = openStream(spec.dir, encodeAttach(one)).then(({ stream: duplex }) => duplex);
        stream.catch(() => {}); /* the start fails, which says more */
        streams.push(stream);
      }
    });
    const channel = keep(new Channel(socket, isNotice, (frame) => notices.take(frame)));
    try {
      const started = await channel.request(request);
      const container = startedContainer({ dir: spec.dir, channel, notices, afterwards }, started);
      return { container, attached: await Promise.all(streams) };
    } catch (e) {
      channel.close();
      for (const stream of streams) void stream.then((s) => s.destroy(), () => {});
      throw e;
    }
  };

  const start = async (spec: ContainerSpec, { attach = [] }: { attach?: readonly AttachOptions[] } = {}) => {
    const request = encodeStart(spec, attach.length);
    try {
      return await startOnce(spec, request, attach);
    } catch (e) {
      if (!isGantryError(e, "NOT_RUNNING")) throw e;
      const lost = fail("START_FAILED", "the container's monitor ended before the container started", { cause: e });
      /* Nobody took the request: the spawner was about to end. A monitor leaves its file. */
      if (await hasMonitorFile(spec.dir)) throw lost;
      await askSpawner(options.socket, shim, new Writer(Kind.ping).frame());
      return startOnce(spec, request, attach).catch((again: unknown) => {
        throw isGantryError(again, "NOT_RUNNING") ? lost : again;
      });
    }
  };

  const reconnect = async (dir: string): Promise<RunningContainer> => {
    const socket = await connectMonitor(dir);
    const notices = new Notices();
    const channel = keep(new Channel(socket, isNotice, (frame) => notices.take(frame)));
    try {
      return startedContainer({ dir, channel, notices, afterwards }, await channel.request(new Writer(Kind.watch).frame()));
    } catch (e) {
      channel.close();
      throw e;
    }
  };

  const find = async (dir: string): Promise<RunningContainer | ExitStatus | null> => {
    for (const deadline = Date.now() + FIND_MS; ; await systemClock.sleep(20)) {
      const status = await readExit(dir);
      if (status !== null) return status;
      try {
        return await reconnect(dir);
      } catch (e) {
        if (isGantryError(e, "UNAVAILABLE") && Date.now() < deadline) continue; /* it is about to start */
        if (!isGantryError(e, "NOT_RUNNING")) throw e;
      }
      if (!await hasMonitorFile(dir)) return readExit(dir);
      try {
        return await reap(dir);
      } catch (e) {
        /* Its monitor lives but does not answer: it is about to start or has just ended. */
        if (!isGantryError(e, "RUNNING") || Date.now() > deadline) throw e;
      }
    }
  };

  await endOutdatedSpawner(options.socket, shim);
  await askSpawner(options.socket, shim, new Writer(Kind.ping).frame());
  return {
    start, find,
    async [Symbol.asyncDispose]() {
      disposed = true;
      for (const channel of channels) channel.close();
      await Promise.all([...channels].map((channel) => channel.closed));
    },
  };
}

