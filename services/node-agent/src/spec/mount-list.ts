import type { HostConfig, MountPoint } from "@gantry/contracts";
import { defaultMounts, type Mount } from "@gantry/runtime";

export interface MountInputs {
  readonly hostConfig: HostConfig;
  /** Mount points with their source on this host, parents first. */
  readonly points: readonly { point: MountPoint; source: string }[];
  /** Files of this container put over its own: destination → path on the host. */
  readonly files: Readonly<Record<string, string>>;
  /** Where /dev/shm comes from: a host path to bind, null for a tmpfs of its own, undefined for none (`--ipc none`). */
  readonly sharedMemory: string | null | undefined;
  /** The host has /dev/mqueue, for `--ipc host`. */
  readonly hostMqueue: boolean;
}

const NO_EXEC = ["nosuid", "noexec", "nodev"];

const bound = (destination: string, source: string): Mount => ({ destination, type: "bind", source, options: ["rbind", "rprivate"] });

/** Every mount of a container in the order it is made: Docker's defaults, the user's, and the three files of the network last. */
export function mountList(inputs: MountInputs): Mount[] {
  const { hostConfig: host, points } = inputs;
  const taken = new Set(points.map(({ point }) => point.Destination));
  const defaults = defaultMounts({ shmSize: host.ShmSize }).flatMap((mount): Mount[] => {
    switch (mount.destination) {
      case "/sys": case "/sys/fs/cgroup":
        return [host.Privileged ? { ...mount, options: mount.options.filter((option) => option !== "ro") } : mount];
      case "/dev/mqueue":
        if (host.IpcMode !== "host") return [mount];
        return inputs.hostMqueue ? [bound("/dev/mqueue", "/dev/mqueue")] : [];
      case "/dev/shm":
        if (inputs.sharedMemory === undefined) return [];
        return [inputs.sharedMemory === null ? mount : bound("/dev/shm", inputs.sharedMemory)];
      default:
        return [mount];
    }
  });
  const files = Object.entries(inputs.files).filter(([destination]) => !taken.has(destination));
  return [
    ...defaults.filter((mount) => !taken.has(mount.destination)),
    ...points.map(userMount),
    ...files.map(([destination, source]) => bound(destination, source)),
  ];
}

function userMount({ point, source }: { point: MountPoint; source: string }): Mount {
  if (point.Type === "tmpfs") {
    const given = point.TmpfsOptions.length > 0 ? point.TmpfsOptions : [
      ...(point.TmpfsSize > 0 ? [`size=${point.TmpfsSize}`] : []), ...(point.TmpfsMode > 0 ? [`mode=${point.TmpfsMode.toString(8)}`] : []),
    ];
    return { destination: point.Destination, type: "tmpfs", source: "tmpfs", options: [...NO_EXEC, ...(point.RW ? [] : ["ro"]), ...given] };
  }
  return {
    destination: point.Destination, type: "bind", source,
    options: [point.NonRecursive ? "bind" : "rbind", ...(point.RW ? ["rw"] : ["ro"]), point.Propagation || "rprivate"],
  };
}
