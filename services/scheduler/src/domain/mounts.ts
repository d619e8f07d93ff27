import type { ContainerConfig, HostConfig, MountPoint, MountSpec } from "@gantry/contracts";
import { fail } from "@gantry/contracts";
import { posix } from "node:path";

/** A volume that a container needs; made if it is not there. */
export interface VolumeWish { name: string; anonymous: boolean; labels: Record<string, string>; options: Record<string, string>; driver: string }

export interface ResolvedMounts { mounts: MountPoint[]; volumes: VolumeWish[] }

const VOLUME_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
const PROPAGATIONS = new Set(["private", "rprivate", "shared", "rshared", "slave", "rslave"]);
/** Accepted and without effect here: SELinux labels and the consistency hints of other systems. */
const NEUTRAL_MODES = new Set(["z", "Z", "cached", "delegated", "consistent", "default"]);

export function checkVolumeName(name: string): string {
  if (name.length < 2 || name.length > 255 || !VOLUME_NAME.test(name)) {
    throw fail("INVALID", name.length < 2 && VOLUME_NAME.test(name)
      ? `create ${name}: volume name is too short, names should be at least two alphanumeric characters`
      : `create ${name}: "${name}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`);
  }
  return name;
}

function point(type: MountPoint["Type"], destination: string): MountPoint {
  return {
    Type: type, Name: "", Source: "", Destination: destination, Driver: "", Mode: "", RW: true, Propagation: "", Anonymous: false,
    CopyUp: false, CreateSource: false, NonRecursive: false, Subpath: "", TmpfsSize: 0, TmpfsMode: 0, TmpfsOptions: [], VolumeOptions: {},
  };
}

function cleanDestination(path: string, spec: string): string {
  if (!path.startsWith("/")) throw fail("INVALID", `invalid volume specification: '${spec}': invalid mount config for type "volume": invalid mount path: '${path}' mount path must be absolute`);
  const clean = posix.normalize(path).replace(/(?<=.)\/$/, "");
  if (clean === "/") throw fail("INVALID", `invalid volume specification: '${spec}': invalid specification: destination can't be '/'`);
  return clean;
}

/** `-v`: `[source:]destination[:mode,…]`. An absolute source is a bind, a name a volume, none an anonymous volume. */
export function parseBind(spec: string, volumeDriver: string, newName: () => string): MountPoint {
  const parts = spec.split(":");
  if (parts.length > 3 || parts.some((part) => part === "")) throw fail("INVALID", `invalid volume specification: '${spec}'`);
  // `/data:ro` is an anonymous volume with a mode only where the second word is no path.
  const [source, destination, mode] = parts.length === 1 ? ["", parts[0]!, ""]
    : parts.length === 2 && !parts[1]!.startsWith("/") ? ["", parts[0]!, parts[1]!]
    : [parts[0]!, parts[1]!, parts[2] ?? ""];
  const bind = source.startsWith("/");
  const made = point(bind ? "bind" : "volume", cleanDestination(destination, spec));
  made.Mode = mode;
  made.Propagation = bind ? "rprivate" : "";
  made.CopyUp = !bind;
  made.CreateSource = bind;
  for (const word of mode === "" ? [] : mode.split(",")) {
    if (word === "ro") made.RW = false;
    else if (word === "rw" || NEUTRAL_MODES.has(word)) continue;
    else if (word === "nocopy" && !bind) made.CopyUp = false;
    else if (PROPAGATIONS.has(word) && bind) made.Propagation = word;
    else throw fail("INVALID", `invalid volume specification: '${spec}': invalid mode: ${mode}`);
  }
  if (bind) made.Source = posix.normalize(source).replace(/(?<=.)\/$/, "");
  else {
    made.Driver = volumeDriver || "local";
    made.Anonymous = source === "";
    made.Name = source === "" ? newName() : checkVolumeName(source);
    if (source !== "" && made.Mode === "") made.Mode = "z";
  }
  return made;
}

function fromSpec(spec: MountSpec, newName: () => string): MountPoint {
  const invalid = (why: string) => fail("INVALID", `invalid mount config for type "${spec.Type}": ${why}`);
  if (spec.Target === "") throw invalid("field Target must not be empty");
  if (!spec.Target.startsWith("/")) throw invalid(`invalid mount path: '${spec.Target}' mount path must be absolute`);
  const destination = posix.normalize(spec.Target).replace(/(?<=.)\/$/, "");
  if (destination === "/") throw invalid("invalid specification: destination can't be '/'");
  const made = point(spec.Type, destination);
  made.RW = !spec.ReadOnly;
  switch (spec.Type) {
    case "bind":
      if (spec.Source === "") throw invalid("field Source must not be empty");
      if (!spec.Source.startsWith("/")) throw invalid(`invalid mount path: '${spec.Source}' mount path must be absolute`);
      if (spec.VolumeOptions) throw invalid("field VolumeOptions must not be specified");
      made.Source = posix.normalize(spec.Source).replace(/(?<=.)\/$/, "");
      made.Propagation = spec.BindOptions?.Propagation || "rprivate";
      if (!PROPAGATIONS.has(made.Propagation)) throw invalid(`invalid propagation mode: ${made.Propagation}`);
      made.NonRecursive = spec.BindOptions?.NonRecursive ?? false;
      made.CreateSource = spec.BindOptions?.CreateMountpoint ?? false;
      return made;
    case "volume":
      if (spec.BindOptions) throw invalid("field BindOptions must not be specified");
      made.Driver = spec.VolumeOptions?.DriverConfig?.Name || "local";
      made.Anonymous = spec.Source === "";
      made.Name = spec.Source === "" ? newName() : checkVolumeName(spec.Source);
      made.CopyUp = !(spec.VolumeOptions?.NoCopy ?? false);
      made.Subpath = spec.VolumeOptions?.Subpath ?? "";
      if (made.Subpath.startsWith("/") || made.Subpath.split("/").includes("..")) throw invalid("subpath must be a relative path within the volume");
      made.Mode = "z";
      made.VolumeOptions = spec.VolumeOptions?.DriverConfig?.Options ?? {};
      return made;
    case "tmpfs":
      if (spec.Source !== "") throw invalid("field Source must not be specified");
      made.TmpfsSize = spec.TmpfsOptions?.SizeBytes ?? 0;
      made.TmpfsMode = spec.TmpfsOptions?.Mode ?? 0;
      return made;
  }
}

/** `--tmpfs /path:options`; checked so that only tmpfs's own words reach mount(2). */
function fromTmpfs(path: string, options: string): MountPoint {
  const made = point("tmpfs", cleanDestination(path, path));
  for (const option of options === "" ? [] : options.split(",")) {
    if (option === "ro") made.RW = false;
    else if (!/^(rw|(no)?(exec|suid|dev|atime|diratime)|relatime|strictatime|sync|async|((r?(private|shared|slave))|(size|mode|uid|gid|nr_inodes|nr_blocks|mpol)=[\w.%:,-]+))$/.test(option)) {
      throw fail("INVALID", `invalid tmpfs option "${option}"`);
    }
    made.TmpfsOptions.push(option);
  }
  return made;
}

/** `--volumes-from ref[:ro|rw]`, with the mount points of that container. */
export function parseVolumesFrom(spec: string): { ref: string; mode: string } {
  const at = spec.lastIndexOf(":");
  const [ref, mode] = at < 0 ? [spec, ""] : [spec.slice(0, at), spec.slice(at + 1)];
  if (ref === "") throw fail("INVALID", `invalid volumes-from specification: ${spec}`);
  if (mode !== "" && !mode.split(",").every((word) => word === "ro" || word === "rw" || NEUTRAL_MODES.has(word))) {
    throw fail("INVALID", `invalid mode: ${mode}`);
  }
  return { ref, mode };
}

/**
 * Every mount point of a container, by Docker's order: `--volumes-from` gives way to `-v` and `--mount`, these to nothing, and the
 * image's volumes fill the destinations that are left.
 */
export function resolveMounts(
  config: ContainerConfig, host: HostConfig,
  from: readonly { mode: string; mounts: readonly MountPoint[] }[],
  newName: () => string,
): ResolvedMounts {
  const found = new Map<string, MountPoint>();
  const given = new Set<string>();
  const labels = new Map<string, Record<string, string>>();
  for (const { mode, mounts } of from) {
    for (const mount of mounts) {
      if (mount.Type === "tmpfs") continue;
      found.set(mount.Destination, { ...mount, Anonymous: false, RW: mount.RW && !mode.split(",").includes("ro"), CopyUp: false });
    }
  }
  const add = (mount: MountPoint) => {
    if (given.has(mount.Destination)) throw fail("INVALID", `Duplicate mount point: ${mount.Destination}`);
    given.add(mount.Destination);
    found.set(mount.Destination, mount);
  };
  for (const bind of host.Binds ?? []) add(parseBind(bind, host.VolumeDriver, newName));
  for (const spec of host.Mounts) {
    const mount = fromSpec(spec, newName);
    add(mount);
    if (mount.Type === "volume") labels.set(mount.Name, spec.VolumeOptions?.Labels ?? {});
  }
  for (const [path, options] of Object.entries(host.Tmpfs)) add(fromTmpfs(path, options));
  for (const path of Object.keys(config.Volumes ?? {})) {
    const destination = cleanDestination(path, path);
    if (found.has(destination)) continue;
    found.set(destination, { ...point("volume", destination), Name: newName(), Driver: host.VolumeDriver || "local", Anonymous: true, CopyUp: true });
  }
  // Mounted parents first.
  const mounts = [...found.values()].sort((a, b) => depth(a) - depth(b) || (a.Destination < b.Destination ? -1 : 1));
  const volumes = mounts.filter((mount) => mount.Type === "volume").map((mount) => ({
    name: mount.Name, anonymous: mount.Anonymous, driver: mount.Driver, options: mount.VolumeOptions,
    labels: mount.Anonymous ? { ...labels.get(mount.Name), "com.docker.volume.anonymous": "" } : labels.get(mount.Name) ?? {},
  }));
  for (const volume of volumes) {
    if (volume.driver !== "local") throw fail("NOT_FOUND", `error looking up volume plugin ${volume.driver}: plugin "${volume.driver}" not found`);
  }
  return { mounts, volumes };
}

const depth = (mount: MountPoint) => mount.Destination.split("/").length;
