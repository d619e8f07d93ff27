/** Debian packages by task, each with its reason. A task needs those of `start` too. */
export const PACKAGES = {
  start: {
    "gcc": "compiles native/ (the container monitor and the addon)",
    "make": "builds native/",
    "libc6-dev": "C headers and the static C library of the monitor",
    "linux-libc-dev": "kernel headers (namespaces, mounts, netlink)",
    "libseccomp-dev": "seccomp filters, linked statically into the monitor",
    "libnftables-dev": "published ports and NAT, spoken from the addon without starting nft",
    "procps": "ps, which `docker top` shows",
    "xz-utils": "unpacks .tar.xz build contexts and ADDed archives",
    "bzip2": "unpacks .tar.bz2 build contexts and ADDed archives",
    "busybox-static": "`gantry base busybox`: a base image without a registry",
    "mmdebstrap": "`gantry base debian` and `gantry base node`: base images without a registry",
  },
  demo: {},
  release: {},
  testbed: {
    "rabbitmq-server": "the message bus of a fleet",
    "redis-server": "the digest cache of a fleet",
    "postgresql": "the database of a fleet",
    "iproute2": "hosts in network namespaces",
    "nftables": "cuts and heals links between hosts; lists firewall tables, to see that nothing is left behind",
    "util-linux": "unshare and nsenter: hosts in namespaces",
  },
  test: {
    "skopeo": "a second client of the image store's registry API",
    "docker-registry": "a second registry to pull from and push to",
    "dpkg-dev": "indexes a small apt repository, from which a test's RUN apt-get install is served",
    "iptables": "a host's own firewall that drops what is forwarded, which published ports must get past",
    "libcap2-bin": "reads capabilities of containers' processes",
    "strace": "counts what a start costs",
    "openssl": "certificates of servers and clients",
    "docker-compose": "brings up projects, and Gantry's own services, through the Docker API",
    "chromium": "the browser in which the dashboard is tested",
  },
  bench: {
    "crun": "the peer that the start-up benchmark runs against",
  },
};

/** What a task needs, as package → reason. */
export function wantedPackages(task) {
  return { ...PACKAGES.start, ...PACKAGES[task], ...(task === "test" ? { ...PACKAGES.testbed, ...PACKAGES.bench } : {}) };
}

/** What of it is missing. `installed` answers whether dpkg has a package. */
export function missingPackages(task, installed) {
  return Object.fromEntries(Object.entries(wantedPackages(task)).filter(([name]) => !installed(name)));
}
