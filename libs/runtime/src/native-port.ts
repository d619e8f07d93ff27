/**
 * What the addon offers to the other libraries, which take it as an argument: `@gantry/runtime` is its only loader.
 * Calls named …Sync are short system calls; the others run on libuv's pool. Errors are Node-style: `code`, `errno`, `syscall`, `path`.
 */
export interface NativeFs {
  /** `openat2` beneath `dirFd`. `resolve`: "beneath" or "in-root". Returns a descriptor. */
  openat2Sync(dirFd: number, path: string, flags: number, mode: number, resolve: "beneath" | "in-root"): number;
  mkdiratSync(dirFd: number, name: string, mode: number): void;
  mknodatSync(dirFd: number, name: string, mode: number, major: number, minor: number): void;
  symlinkatSync(target: string, dirFd: number, name: string): void;
  linkatSync(oldDirFd: number, oldName: string, newDirFd: number, newName: string): void;
  unlinkatSync(dirFd: number, name: string, directory: boolean): void;
  renameatSync(oldDirFd: number, oldName: string, newDirFd: number, newName: string): void;
  readlinkatSync(dirFd: number, name: string): string;
  fchmodatSync(dirFd: number, name: string, mode: number): void;
  fchownatSync(dirFd: number, name: string, uid: number, gid: number): void;
  /** Nanoseconds since the epoch; never follows a link. */
  utimensatSync(dirFd: number, name: string, atimeNs: bigint, mtimeNs: bigint): void;
  /** Extended attributes of `path` itself (l…xattr). */
  listXattrSync(path: string): string[];
  getXattrSync(path: string, name: string): Buffer;
  setXattrSync(path: string, name: string, value: Buffer): void;
  /** Ranges that hold data (SEEK_DATA/SEEK_HOLE). */
  dataRangesSync(fd: number, size: number): { offset: number; length: number }[];
  /** Advisory lock (flock) on a descriptor; waits on the pool. */
  flock(fd: number, exclusive: boolean): Promise<void>;
  syncfs(fd: number): Promise<void>;
  /** Overlay mount by the new mount API; `rootfs` as in `@gantry/snapshots`. */
  mountOverlay(rootfs: { base: string; lowers: readonly string[]; upper: string | null; work: string | null; volatile: boolean }, target: string): Promise<void>;
  unmount(target: string, detach: boolean): Promise<void>;
}

export interface NativeNet {
  /** Each is one or a few netlink messages; EEXIST of a matching link or address is no error. */
  bridgeCreateSync(name: string, mac: string, mtu: number, addresses: string[]): void;
  linkDeleteSync(name: string): void;
  linkExistsSync(name: string): boolean;
  /** A veth between a bridge and a running container's namespace (`docker network connect`). */
  vethCreateSync(options: { bridge: string; hostName: string; name: string; mac: string; addresses: string[]; gateway: string | null; mtu: number; netnsPid: number }): void;
  /** Runs nft commands (the `nft` language) in this process through libnftables. Throws with nft's own message. */
  nft(commands: string): Promise<string>;
}
