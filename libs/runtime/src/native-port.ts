/**
 * What the addon offers to the other libraries, which take it as an argument: `@gantry/runtime` is its only loader.
 * Calls named …Sync are short system calls; the others run on libuv's pool. Errors are Node-style: `code`, `errno`, `syscall`, `path`.
 */
export interface NativeFs {
  // Paths and names are strings (UTF-8) or bytes, for a file's name need not be text.
  /** `openat2` beneath `dirFd`. `resolve`: "beneath" or "in-root". Returns a descriptor. */
  openat2Sync(dirFd: number, path: PathLike, flags: number, mode: number, resolve: "beneath" | "in-root"): number;
  mkdiratSync(dirFd: number, name: PathLike, mode: number): void;
  mknodatSync(dirFd: number, name: PathLike, mode: number, major: number, minor: number): void;
  symlinkatSync(target: PathLike, dirFd: number, name: PathLike): void;
  linkatSync(oldDirFd: number, oldName: PathLike, newDirFd: number, newName: PathLike): void;
  unlinkatSync(dirFd: number, name: PathLike, directory: boolean): void;
  renameatSync(oldDirFd: number, oldName: PathLike, newDirFd: number, newName: PathLike): void;
  /** An empty name reads the link that is the descriptor itself. `latin1`: one character a byte, for targets that are not UTF-8. */
  readlinkatSync(dirFd: number, name: PathLike, encoding?: "utf8" | "latin1"): string;
  fchmodatSync(dirFd: number, name: PathLike, mode: number): void;
  fchownatSync(dirFd: number, name: PathLike, uid: number, gid: number): void;
  /** Nanoseconds since the epoch; never follows a link. */
  utimensatSync(dirFd: number, name: PathLike, atimeNs: bigint, mtimeNs: bigint): void;
  /** Extended attributes of `path` itself (l…xattr). */
  listXattrSync(path: PathLike): string[];
  getXattrSync(path: PathLike, name: string): Buffer;
  setXattrSync(path: PathLike, name: string, value: Buffer): void;
  /** Ranges that hold data (SEEK_DATA/SEEK_HOLE). */
  dataRangesSync(fd: number, size: number): { offset: number; length: number }[];
  /** Advisory lock (flock) on a descriptor; waits on the pool. */
  flock(fd: number, exclusive: boolean): Promise<void>;
  syncfs(fd: number): Promise<void>;
  /** `lstat` relative to `dirFd`; an empty name is the descriptor itself. `mode` has the type; sizes in bytes, `blocks` of 512. */
  fstatatSync(dirFd: number, name: PathLike): {
    mode: number; uid: number; gid: number; size: number; blocks: number; nlink: number; ino: number; dev: number;
    major: number; minor: number; mtimeNs: bigint;
  };
  /** Removes a tree beneath `dirFd`, never through a link nor into another file system. No error when there is none. */
  removeTree(dirFd: number, name: PathLike): Promise<void>;
  /** Many files a call, beneath a root: the formats stand in native/addon/tree-writer.c. One `treeWrite` at a time. */
  treeWriter(rootFd: number): NativeTreeWriter;
  treeWrite(writer: NativeTreeWriter, operations: Uint8Array, chunks: readonly Uint8Array[]): Promise<void>;
  treeWriterClose(writer: NativeTreeWriter): void;
  /**
   * The entries beneath a root, or just its entry `only`; contents of files up to `inlineMax` bytes with them. `treeRead` fills
   * the buffer and answers the bytes filled, 0 at the end. Format: native/addon/tree-read.c. One `treeRead` at a time.
   */
  treeReader(rootFd: number, inlineMax: number, xattrs: boolean, only: PathLike): NativeTreeReader;
  treeRead(reader: NativeTreeReader, buffer: Uint8Array): Promise<number>;
  treeReaderClose(reader: NativeTreeReader): void;
  /** Overlay mount by the new mount API; `rootfs` as in `@gantry/snapshots`. */
  mountOverlay(rootfs: { base: string; lowers: readonly string[]; upper: string | null; work: string | null; volatile: boolean }, target: string): Promise<void>;
  unmount(target: string, detach: boolean): Promise<void>;
}

type PathLike = string | Uint8Array;

declare const tree: unique symbol;
/** Open trees of the addon; closed when collected, too. */
export interface NativeTreeWriter { readonly [tree]: "writer" }
export interface NativeTreeReader { readonly [tree]: "reader" }

export interface NativeNet {
  /** Each is one or a few netlink messages; EEXIST of a matching link or address is no error. */
  bridgeCreateSync(name: string, mac: string, mtu: number, addresses: string[]): void;
  /** No error when it is not there. */
  linkDelete(name: string): Promise<void>;
  linkExistsSync(name: string): boolean;
  /** A veth between a bridge and a running container's namespace (`docker network connect`). */
  vethCreateSync(options: { bridge: string; hostName: string; name: string; mac: string; addresses: string[]; gateway: string | null; gateway6: string | null; mtu: number; netnsPid: number }): void;
  /**
   * Makes the kernel forget UDP flows to these ports that were translated or never answered: after a port is published or no longer,
   * clients that keep sending from one port find what is there now. At most 1024 ports.
   */
  forgetUdpFlowsSync(ports: number[]): void;
  /** Runs nft commands (the `nft` language) in this process through libnftables. Throws with nft's own message. */
  nft(commands: string): Promise<string>;
}

export interface NativeFdPass {
  /** Sends one request frame to a unix socket and takes the answer with up to `max` (8 at most) descriptors, which the caller owns. */
  requestFds(socket: string, request: Uint8Array, max: number): Promise<{ reply: Buffer; fds: number[] }>;
}
