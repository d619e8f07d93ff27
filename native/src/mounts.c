#include "mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cgroup.h"
#include "io.h"

int mount_attach(int mnt, int target, struct err *err)
{
	if (move_mount(mnt, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return err_set(err, errno, "attach mount: %s", strerror(errno));
	return 0;
}

int mount_clone(int fd, bool recursive, struct err *err)
{
	int mnt = open_tree(fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0));
	return mnt < 0 ? err_set(err, errno, "copy mount: %s", strerror(errno)) : mnt;
}

static int set_attr(int mnt, uint64_t set, uint64_t clear, bool recursive, struct err *err)
{
	struct mount_attr attr = { .attr_set = set, .attr_clr = clear };
	if (mount_setattr(mnt, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attr, sizeof attr) < 0)
		return err_set(err, errno, "set mount flags: %s", strerror(errno));
	return 0;
}

static int set_propagation(int mnt, unsigned long propagation, struct err *err)
{
	struct mount_attr attr = { .propagation = propagation & ~(unsigned long)MS_REC };
	if (mount_setattr(mnt, "", AT_EMPTY_PATH | (propagation & MS_REC ? AT_RECURSIVE : 0), &attr, sizeof attr) < 0)
		return err_set(err, errno, "set mount propagation: %s", strerror(errno));
	return 0;
}

bool mount_is_bind(const struct mount *m)
{
	struct mount_options o;
	return strcmp(m->type, "bind") == 0 || (mount_options_parse(&m->options, &o, NULL) == 0 && o.bind);
}

int mount_clone_source(const struct mount *m, const struct mount_options *o, struct err *err)
{
	int mnt = open_tree(AT_FDCWD, m->source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (o->recursive ? AT_RECURSIVE : 0));
	if (mnt < 0)
		return err_set(err, errno, "error mounting \"%s\" to rootfs at \"%s\": stat %s: %s", m->source, m->destination, m->source,
			       errno == ENOENT ? "no such file or directory" : strerror(errno));
	return mnt;
}

static int bind_one(int root, const struct mount *m, const struct mount_options *o, int source, struct err *err)
{
	autoclose own = source < 0 ? mount_clone_source(m, o, err) : -1;
	int mnt = source < 0 ? own : source;
	if (mnt < 0)
		return -1;
	struct stat st, dst;
	if (fstatat(mnt, "", &st, AT_EMPTY_PATH) < 0)
		return err_set(err, errno, "stat %s: %s", m->source, strerror(errno));
	struct err why;
	autoclose target = root_make(root, m->destination, S_ISDIR(st.st_mode), &why);
	if (target < 0)
		return err_set(err, why.code, "error mounting \"%s\" to rootfs at \"%s\": %s", m->source, m->destination, why.msg);
	if (fstatat(target, "", &dst, AT_EMPTY_PATH) == 0 && S_ISDIR(st.st_mode) != S_ISDIR(dst.st_mode))
		return err_set(err, ENOTDIR,
			       "error mounting \"%s\" to rootfs at \"%s\": not a directory: Are you trying to mount a directory onto a file "
			       "(or vice-versa)? Check if the specified host path exists and is the expected type",
			       m->source, m->destination);
	/* Read-only holds for what is mounted beneath, too (as Docker 25 does); the other flags for the mount itself. */
	if (o->attr_set & MOUNT_ATTR_RDONLY && set_attr(mnt, MOUNT_ATTR_RDONLY, 0, o->recursive, err) < 0)
		return -1;
	if ((o->attr_set & ~(uint64_t)MOUNT_ATTR_RDONLY || o->attr_clear) && set_attr(mnt, o->attr_set, o->attr_clear, false, err) < 0)
		return -1;
	if (mount_attach(mnt, target, err) < 0)
		return -1;
	return set_propagation(mnt, o->propagation != 0 ? o->propagation : MS_PRIVATE | MS_REC, err);
}

/* The container's own cgroups at the usual place: the one hierarchy of v2, or a directory for each of v1. */
static int cgroup_mount(int root, const struct mount *m, const struct mount_options *o, const struct cg *g, struct err *err)
{
	autoclose target = root_make(root, m->destination, true, err);
	if (target < 0)
		return -1;
	uint64_t attrs = o->attr_set & (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	char path[PATH_MAX];
	if (g->host->version == 1) {
		if (fchdir(target) < 0 || mount("tmpfs", ".", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755,size=64k") < 0)
			return err_set(err, errno, "mount tmpfs at %s: %s", m->destination, strerror(errno));
	}
	autoclose top = root_open(root, m->destination, O_DIRECTORY, err);
	if (top < 0)
		return -1;
	for (int c = 0; c < CG_COUNT; c++) {
		if (!(g->used & CG_BIT(c)) || cg_path(g, c, "", path, err) < 0)
			continue;
		autoclose dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0)
			return err_set(err, errno, "open %s: %s", path, strerror(errno));
		autoclose mnt = mount_clone(dir, false, err);
		if (mnt < 0 || set_attr(mnt, attrs, 0, false, err) < 0)
			return -1;
		if (g->host->version == 2)
			return mount_attach(mnt, top, err);
		const char *name = strrchr(g->host->mounts[c], '/');
		name = name == NULL ? g->host->mounts[c] : name + 1;
		if (mkdirat(top, name, 0755) < 0) {
			if (errno == EEXIST) /* mounted together with one before, such as cpu,cpuacct */
				continue;
			return err_set(err, errno, "mkdir %s: %s", name, strerror(errno));
		}
		autoclose at = openat(top, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (at < 0 || mount_attach(mnt, at, err) < 0)
			return at < 0 ? err_set(err, errno, "open %s: %s", name, strerror(errno)) : -1;
	}
	return attrs & MOUNT_ATTR_RDONLY ? set_attr(top, MOUNT_ATTR_RDONLY, 0, false, err) : 0;
}

int mount_one(int root, const struct mount *m, int source, const struct cg *g, struct err *err)
{
	struct mount_options o;
	if (mount_options_parse(&m->options, &o, err) < 0)
		return -1;
	if (o.bind || strcmp(m->type, "bind") == 0)
		return bind_one(root, m, &o, source, err);
	if (strcmp(m->type, "cgroup") == 0 || strcmp(m->type, "cgroup2") == 0)
		return cgroup_mount(root, m, &o, g, err);
	autoclose target = root_make(root, m->destination, true, err);
	if (target < 0 || fchdir(target) < 0)
		return target < 0 ? -1 : err_set(err, errno, "chdir %s: %s", m->destination, strerror(errno));
	if (mount(m->source, ".", m->type, o.flags, o.data) == 0)
		goto mounted;
	if (errno == EINVAL && strcmp(m->type, "devpts") == 0) {
		/* Group tty is not mapped in this user namespace. */
		if (mount(m->source, ".", m->type, o.flags, "newinstance,ptmxmode=0666,mode=0620") == 0)
			goto mounted;
	}
	if (errno == EPERM && strcmp(m->type, "sysfs") == 0) {
		/* Only who owns the network namespace may mount it anew; the host's shows the same. */
		struct strs none = { 0 };
		struct mount again = { m->destination, "bind", "/sys", none };
		o.recursive = true;
		return bind_one(root, &again, &o, -1, err);
	}
	return err_set(err, errno, "error mounting \"%s\" to rootfs at \"%s\": %s", m->source, m->destination, strerror(errno));
mounted:
	if (o.propagation == 0)
		return 0;
	io_close_fd(&target);
	target = root_open(root, m->destination, 0, err);
	return target < 0 ? -1 : set_propagation(target, o.propagation, err);
}

static int null_mount(struct err *err)
{
	autoclose fd = open("/dev/null", O_PATH | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	if (fd < 0 || fstatat(fd, "", &st, AT_EMPTY_PATH) < 0)
		return err_set(err, errno, "open /dev/null: %s", strerror(errno));
	if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
		return err_set(err, EINVAL, "/dev/null is not the null device");
	return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static int empty_mount(struct err *err)
{
	autoclose fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
	if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "nr_inodes", "2", 0) < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "mode", "555", 0) < 0 ||
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return err_set(err, errno, "make an empty tmpfs: %s", strerror(errno));
	int mnt = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	return mnt < 0 ? err_set(err, errno, "mount an empty tmpfs: %s", strerror(errno)) : mnt;
}

/* What lies on /proc must be procfs itself, or the path has been led elsewhere. */
static int check_proc(const char *path, int fd, struct err *err)
{
	struct statfs fs;
	if (strncmp(path, "/proc/", 6) != 0)
		return 0;
	if (fstatfs(fd, &fs) < 0)
		return err_set(err, errno, "statfs %s: %s", path, strerror(errno));
	return fs.f_type == PROC_SUPER_MAGIC ? 0 : err_set(err, EINVAL, "%s is not on procfs", path);
}

int mask_path(int root, const char *path, struct masks *masks, struct err *err)
{
	struct err why;
	struct stat st;
	autoclose target = root_open(root, path, O_NOFOLLOW, &why);
	if (target < 0)
		return why.code == ENOENT || why.code == ENOTDIR ? 0 : err_set(err, why.code, "can't mask path \"%s\": %s", path, why.msg);
	if (fstatat(target, "", &st, AT_EMPTY_PATH) < 0)
		return err_set(err, errno, "can't mask path \"%s\": %s", path, strerror(errno));
	if (check_proc(path, target, err) < 0)
		return -1;
	if (S_ISDIR(st.st_mode) && masks->empty < 0) {
		/* The first one is the file system itself; older kernels copy a mount only where it is attached. */
		autoclose first = empty_mount(err);
		if (first < 0 || mount_attach(first, target, err) < 0)
			return -1;
		masks->empty = root_open(root, path, O_NOFOLLOW, err);
		return masks->empty < 0 ? -1 : 0;
	}
	if (!S_ISDIR(st.st_mode) && masks->null < 0 && (masks->null = null_mount(err)) < 0)
		return -1;
	autoclose mnt = mount_clone(S_ISDIR(st.st_mode) ? masks->empty : masks->null, false, err);
	return mnt < 0 ? -1 : mount_attach(mnt, target, err);
}

int readonly_path(int root, const char *path, struct err *err)
{
	struct err why;
	autoclose target = root_open(root, path, O_NOFOLLOW, &why);
	if (target < 0)
		return why.code == ENOENT || why.code == ENOTDIR ? 0 : err_set(err, why.code, "can't make \"%s\" read-only: %s", path, why.msg);
	if (check_proc(path, target, err) < 0)
		return -1;
	autoclose mnt = mount_clone(target, true, err);
	if (mnt < 0 || set_attr(mnt, MOUNT_ATTR_RDONLY, 0, true, err) < 0)
		return -1;
	return mount_attach(mnt, target, err);
}

static int bind_device(int dir, const char *name, const struct device *d, struct err *err)
{
	autoclose made = openat(dir, name, O_CREAT | O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
	autoclose target = openat(dir, name, O_PATH | O_CLOEXEC | O_NOFOLLOW);
	autoclose source = open(d->path, O_PATH | O_CLOEXEC);
	if (target < 0 || source < 0)
		return err_set(err, errno, "bind device %s: %s", d->path, strerror(errno));
	struct stat st;
	if (fstatat(source, "", &st, AT_EMPTY_PATH) < 0 || !(S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) ||
	    st.st_rdev != makedev(d->major, d->minor))
		return err_set(err, EINVAL, "%s of this host is not device %u:%u", d->path, d->major, d->minor);
	autoclose mnt = mount_clone(source, false, err);
	return mnt < 0 ? -1 : mount_attach(mnt, target, err);
}

static int make_device(int root, const struct device *d, struct err *err)
{
	char parent[PATH_MAX];
	const char *slash = strrchr(d->path, '/');
	if (snprintf(parent, sizeof parent, "%.*s/", (int)(slash - d->path), d->path) >= (int)sizeof parent || !io_is_component(slash + 1))
		return err_set(err, EINVAL, "invalid device path %s", d->path);
	autoclose dir = root_make(root, parent, true, err);
	if (dir < 0)
		return -1;
	dev_t dev = makedev(d->major, d->minor);
	mode_t type = d->type[0] == 'b' ? S_IFBLK : S_IFCHR;
	if (mknodat(dir, slash + 1, type | (d->mode & 07777), dev) < 0) {
		struct stat st;
		if (errno == EPERM)
			return bind_device(dir, slash + 1, d, err);
		if (errno != EEXIST)
			return err_set(err, errno, "mknod %s: %s", d->path, strerror(errno));
		if (fstatat(dir, slash + 1, &st, AT_SYMLINK_NOFOLLOW) < 0 || (st.st_mode & S_IFMT) != type || st.st_rdev != dev)
			return err_set(err, EEXIST, "mknod %s: file exists", d->path);
	}
	if ((d->uid != 0 || d->gid != 0) && fchownat(dir, slash + 1, d->uid, d->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(err, errno, "chown %s: %s", d->path, strerror(errno));
	return 0;
}

int make_devices(int root, const struct spec *spec, struct err *err)
{
	static const char *const LINKS[][2] = {
		{ "/proc/self/fd", "fd" }, { "/proc/self/fd/0", "stdin" }, { "/proc/self/fd/1", "stdout" },
		{ "/proc/self/fd/2", "stderr" }, { "/proc/kcore", "core" }, { "pts/ptmx", "ptmx" },
	};
	for (uint32_t i = 0; i < spec->n_devices; i++)
		if (make_device(root, &spec->devices[i], err) < 0)
			return -1;
	struct err why;
	autoclose dev = root_open(root, "/dev", O_DIRECTORY, &why);
	for (size_t i = 0; dev >= 0 && i < sizeof LINKS / sizeof *LINKS; i++)
		if (symlinkat(LINKS[i][0], dev, LINKS[i][1]) < 0 && errno != EEXIST && errno != EROFS)
			return err_set(err, errno, "symlink /dev/%s: %s", LINKS[i][1], strerror(errno));
	return 0;
}
