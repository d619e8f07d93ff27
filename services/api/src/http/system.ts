import { containerList, fail, imageList, imageStoreInfo, nodeList, registryLogin, schedulerInfo, volumeList } from "@gantry/contracts";
import { isGantryError, rfc3339Nano } from "@gantry/kernel";
import { type Backend, patient } from "../backend.ts";
import { diskUsageBody } from "../domain/disk-usage.ts";
import { infoBody, type Self, versionBody } from "../domain/info.ts";
import { openFiles } from "../self.ts";
import type { Exchange, Route } from "./exchange.ts";

type SystemBackend = Pick<Backend, "bus" | "events" | "clock"> & { readonly self: Self };

const DF_TYPES = ["container", "image", "volume", "build-cache"];

export function systemRoutes(backend: SystemBackend): Route[] {
  const { bus, self, clock, events } = backend;
  const ping = async (x: Exchange): Promise<unknown> => {
    x.reply.headers({ "Builder-Version": "1", Swarm: "inactive", "Cache-Control": "no-cache, no-store, must-revalidate", Pragma: "no-cache" });
    return x.text(x.request.method === "HEAD" ? "" : "OK");
  };
  return [
    { method: "GET", path: "/_ping", handle: ping },
    { method: "HEAD", path: "/_ping", handle: ping },
    { method: "GET", path: "/version", handle: async (x) => x.json(versionBody(self)) },
    { method: "GET", path: "/info", handle: async (x) => {
      const [scheduler, { nodes }, store] = await Promise.all([bus.call(schedulerInfo, {}), bus.call(nodeList, {}), bus.call(imageStoreInfo, {})]);
      return x.json(infoBody(self, { ...scheduler, nodes, images: store.images }, {
        systemTime: rfc3339Nano(clock.nowNano()), eventListeners: events.listeners, openFiles: openFiles(),
      }));
    } },
    { method: "GET", path: "/system/df", handle: (x) => diskUsage(backend, x) },
    { method: "POST", path: "/auth", handle: (x) => login(backend, x) },
  ];
}

/** Credentials are tried where the image store can; else they are taken, and refused when they are first used. */
async function login({ bus }: SystemBackend, x: Exchange): Promise<unknown> {
  const body = await x.body() ?? {};
  const field = (name: string): string => (typeof body[name] === "string" ? body[name] : "");
  try {
    const { identityToken } = await bus.call(registryLogin,
      { serverAddress: field("serveraddress"), username: field("username"), password: field("password"), identityToken: field("identitytoken") }, patient(x));
    return x.json({ Status: "Login Succeeded", IdentityToken: identityToken });
  } catch (error) {
    if (!isGantryError(error, "NOT_IMPLEMENTED")) throw error;
    return x.json({ Status: "Login Succeeded", IdentityToken: "" });
  }
}

async function diskUsage({ bus }: SystemBackend, x: Exchange): Promise<unknown> {
  const types = x.query.getAll("type");
  for (const type of types) if (!DF_TYPES.includes(type)) throw fail("INVALID", `unknown object type: ${type.slice(0, 64)}`);
  const wants = (type: string): boolean => types.length === 0 || types.includes(type);
  const patience = patient(x);
  const containersOf = wants("container") || wants("image") || wants("volume");
  const [store, images, containers, volumes] = await Promise.all([
    bus.call(imageStoreInfo, {}),
    wants("image") ? bus.call(imageList, { all: false, filters: {}, digests: false, sharedSize: true }, patience) : { images: [] },
    containersOf ? bus.call(containerList, { all: true, limit: null, size: wants("container"), filters: {} }, patience) : { containers: [] },
    wants("volume") ? bus.call(volumeList, { filters: {} }, patience) : { volumes: [] },
  ]);
  return x.json(diskUsageBody({
    layersSize: wants("image") ? store.layersSize : 0, images: images.images, containers: containers.containers, volumes: volumes.volumes,
  }, wants));
}
