#ifndef GANTRY_MOUNTS_H
#define GANTRY_MOUNTS_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "spec.h"

/* fstab words, sorted by what they set. */
struct mount_options {
	unsigned long flags;  /* MS_… for mount(2) */
	uint64_t attr_set, attr_clear; /* MOUNT_ATTR_… for mount_setattr */
	unsigned long propagation;     /* MS_PRIVATE …, with MS_REC; 0: not said */
	bool bind, recursive;
	char data[1024];      /* what the file system reads itself */
};
int mount_options_parse(const struct strs *options, struct mount_options *out, struct err *err);

/*
 * Overlay of the snapshot, or a bind of its only layer, at its own upper (or topmost lower) directory, which nothing else needs
 * to see in this mount namespace. Answers an O_PATH descriptor of the root.
 */
int mount_rootfs(const struct rootfs *rootfs, struct err *err);
/* The same, where the layers lie in the working directory (and not beneath rootfs->base). */
int mount_rootfs_here(const struct rootfs *rootfs, struct err *err);

/* Opens a path inside the root, O_PATH, following links within it only. */
int root_open(int root, const char *path, int flags, struct err *err);
/* The same, making what is missing: directories, and at the end a directory or an empty file. */
int root_make(int root, const char *path, bool directory, struct err *err);

/* Attaches a detached mount on the file or directory `target` (descriptors). */
int mount_attach(int mount, int target, struct err *err);
/* A detached copy of what `fd` refers to. */
int mount_clone(int fd, bool recursive, struct err *err);
/* Whether a mount of the spec is a bind mount. */
bool mount_is_bind(const struct mount *m);
/* A detached copy of a host path, as a bind mount of the spec wants it. */
int mount_clone_source(const struct mount *m, const struct mount_options *o, struct err *err);

struct cg;
/*
 * One mount of the spec into the root. `source`: a detached mount made beforehand for a bind, else -1. `cgroups`: those of the
 * container, for type "cgroup".
 */
int mount_one(int root, const struct mount *m, int source, const struct cg *cgroups, struct err *err);

/* Covers a path with nothing: /dev/null on a file, an empty read-only tmpfs on a directory. A missing path is no error. */
struct masks { int null, empty; }; /* -1 until the first use */
int mask_path(int root, const char *path, struct masks *masks, struct err *err);
/* Remounts a path read-only, with all beneath it. A missing path is no error. */
int readonly_path(int root, const char *path, struct err *err);

/* Device nodes (bound from the host where mknod is not allowed), and the usual links in /dev. */
int make_devices(int root, const struct spec *spec, struct err *err);

#endif
