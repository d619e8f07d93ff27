import type { Stats } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { fail, type HostConfig } from "@gantry/contracts";
import { errnoOf } from "@gantry/kernel";
import type { Device } from "@gantry/runtime";

const MAX_DEVICES = 4_096;
/** Made anew in every container, or of no use there. */
const SKIPPED = new Set(["pts", "shm", "fd", "mqueue", "console", ".lxc", ".lxd-mounts", ".udev", "null", "zero", "full", "random", "urandom", "tty"]);

/** Linux's dev_t as user space has it: 12 bits of major, 20 of minor. */
export function deviceNumbers(rdev: number): { major: number; minor: number } {
  const dev = BigInt(rdev);
  return {
    major: Number((dev >> 8n) & 0xfffn | (dev >> 32n) & 0xfffff000n),
    minor: Number(dev & 0xffn | (dev >> 12n) & 0xffffff00n),
  };
}

function toDevice(info: Stats, path: string, access: string): Device | null {
  if (!info.isCharacterDevice() && !info.isBlockDevice()) return null;
  return { path, type: info.isBlockDevice() ? "b" : "c", ...deviceNumbers(info.rdev), mode: info.mode & 0o7777, uid: info.uid, gid: info.gid, access };
}

/** The devices of `--device` (a directory gives all beneath it), or every device of the host for a privileged container. */
export async function hostDevices(host: HostConfig): Promise<Device[]> {
  if (host.Privileged) return beneath("/dev", "/dev", "rwm", SKIPPED);
  const devices: Device[] = [];
  for (const { PathOnHost, PathInContainer, CgroupPermissions } of host.Devices) {
    if (!/^[rwm]{1,3}$/.test(CgroupPermissions)) throw fail("INVALID", `invalid device mode: ${CgroupPermissions}`);
    if (!PathInContainer.startsWith("/")) throw fail("INVALID", `invalid device path: ${PathInContainer}`);
    const unable = (why: string) => fail("START_FAILED", `error gathering device information while adding custom device "${PathOnHost}": ${why}`);
    let info: Stats;
    try {
      info = await stat(PathOnHost);
    } catch (cause) {
      if (errnoOf(cause) === "ENOENT") throw unable("no such file or directory");
      throw unable(String(cause));
    }
    const device = toDevice(info, PathInContainer, CgroupPermissions);
    if (device) devices.push(device);
    else if (info.isDirectory()) devices.push(...await beneath(PathOnHost, PathInContainer, CgroupPermissions, new Set()));
    else throw unable("not a device node");
  }
  return devices;
}

async function beneath(dir: string, inside: string, access: string, skipped: ReadonlySet<string>): Promise<Device[]> {
  const devices: Device[] = [];
  const visit = async (from: string, to: string, top: boolean): Promise<void> => {
    for (const item of await readdir(from, { withFileTypes: true })) {
      if ((top && skipped.has(item.name)) || devices.length >= MAX_DEVICES) continue;
      if (item.isDirectory()) await visit(join(from, item.name), join(to, item.name), false);
      else if (item.isCharacterDevice() || item.isBlockDevice()) {
        const device = toDevice(await stat(join(from, item.name)), join(to, item.name), access);
        if (device) devices.push(device);
      }
    }
  };
  await visit(dir, inside, true);
  return devices;
}
