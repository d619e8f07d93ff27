#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "io.h"
#include "mounts.h"

#ifndef FSCONFIG_SET_FD
#include <linux/mount.h>
#endif

#define OVERLAY_OPTIONS "xino=off,index=off,metacopy=off,redirect_dir=off"

static bool plain(const char *name) { return name[0] != '\0' && strpbrk(name, ":,\\") == NULL; }

static bool all_plain(const struct rootfs *r)
{
	for (uint32_t i = 0; i < r->lowers.n; i++)
		if (!plain(r->lowers.v[i]))
			return false;
	return r->upper == NULL || (plain(r->upper) && plain(r->work));
}

/* All options as one string for mount(2); 1 when they do not fit the page it gives them. */
static int overlay_data(const struct rootfs *r, char *data, size_t size)
{
	size_t used = (size_t)snprintf(data, size, OVERLAY_OPTIONS "%s,lowerdir=", r->is_volatile ? ",volatile" : "");
	for (uint32_t i = 0; i < r->lowers.n && used < size; i++)
		used += (size_t)snprintf(data + used, size - used, "%s%s", i > 0 ? ":" : "", r->lowers.v[i]);
	if (r->upper != NULL && used < size)
		used += (size_t)snprintf(data + used, size - used, ",upperdir=%s,workdir=%s", r->upper, r->work);
	return used >= size;
}

/* One call per layer (Linux 6.8), for more layers than fit a page. */
static int overlay_many(const struct rootfs *r, const char *target, struct err *err)
{
	static const char *const FLAGS[][2] = { { "xino", "off" }, { "index", "off" }, { "metacopy", "off" }, { "redirect_dir", "off" } };
	autoclose fs = fsopen("overlay", FSOPEN_CLOEXEC);
	if (fs < 0)
		return err_set(err, errno, "fsopen overlay: %s", strerror(errno));
	for (size_t i = 0; i < sizeof FLAGS / sizeof *FLAGS; i++)
		if (fsconfig(fs, FSCONFIG_SET_STRING, FLAGS[i][0], FLAGS[i][1], 0) < 0)
			return err_set(err, errno, "overlay option %s: %s", FLAGS[i][0], strerror(errno));
	for (uint32_t i = 0; i < r->lowers.n; i++)
		if (fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir+", r->lowers.v[i], 0) < 0)
			return err_set(err, errno, "overlay layer %s (%u layers need Linux 6.8): %s", r->lowers.v[i], r->lowers.n,
				       strerror(errno));
	if (r->upper != NULL && (fsconfig(fs, FSCONFIG_SET_STRING, "upperdir", r->upper, 0) < 0 ||
				 fsconfig(fs, FSCONFIG_SET_STRING, "workdir", r->work, 0) < 0))
		return err_set(err, errno, "overlay upper %s: %s", r->upper, strerror(errno));
	if (r->is_volatile && fsconfig(fs, FSCONFIG_SET_FLAG, "volatile", NULL, 0) < 0)
		return err_set(err, errno, "overlay volatile: %s", strerror(errno));
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return err_set(err, errno, "create overlay: %s", strerror(errno));
	autoclose mnt = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	if (mnt < 0)
		return err_set(err, errno, "fsmount overlay: %s", strerror(errno));
	if (move_mount(mnt, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_set(err, errno, "attach overlay: %s", strerror(errno));
	return 0;
}

static int overlay(const struct rootfs *r, const char *target, struct err *err)
{
	char data[4096];
	if (overlay_data(r, data, sizeof data))
		return overlay_many(r, target, err);
	if (mount("overlay", target, "overlay", 0, data) == 0)
		return 0;
	int saved = errno;
	if (saved == EINVAL && r->is_volatile) {
		/* What a volatile mount leaves when its container could not start. Its upper was never synced, nor is it promised to be. */
		char mark[4096];
		if (snprintf(mark, sizeof mark, "%s/work/incompat/volatile", r->work) < (int)sizeof mark && rmdir(mark) == 0 &&
		    mount("overlay", target, "overlay", 0, data) == 0)
			return 0;
	}
	return err_set(err, saved, "mount overlay of %s: %s", r->base, strerror(saved));
}

int mount_rootfs(const struct rootfs *r, struct err *err)
{
	if (chdir(r->base) < 0)
		return err_set(err, errno, "chdir %s: %s", r->base, strerror(errno));
	return mount_rootfs_here(r, err);
}

int mount_rootfs_here(const struct rootfs *r, struct err *err)
{
	if (!all_plain(r))
		return err_set(err, EINVAL, "names of layers cannot have \":\", \",\" or \"\\\" in them");
	const char *target = r->upper != NULL ? r->upper : r->lowers.v[0];
	if (r->lowers.n == 0 || (r->lowers.n == 1 && r->upper == NULL)) {
		/* One directory is no overlay: it is the root itself, read-only unless it is an upper. */
		if (mount(target, target, NULL, MS_BIND | MS_REC, NULL) < 0)
			return err_set(err, errno, "bind %s: %s", target, strerror(errno));
		if (r->upper == NULL && mount(NULL, target, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) < 0)
			return err_set(err, errno, "remount %s read-only: %s", target, strerror(errno));
	} else if (overlay(r, target, err) < 0) {
		return -1;
	}
	int fd = open(target, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? err_set(err, errno, "open %s: %s", target, strerror(errno)) : fd;
}

static int open_how(int root, const char *path, uint64_t flags, uint64_t resolve)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = resolve | RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	int fd;
	do
		fd = (int)syscall(SYS_openat2, root, path, &how, sizeof how);
	while (fd < 0 && errno == EAGAIN);
	return fd;
}

int root_open(int root, const char *path, int flags, struct err *err)
{
	int fd = open_how(root, path, O_PATH | (uint64_t)flags, 0);
	return fd < 0 ? err_set(err, errno, "open %s: %s", path, strerror(errno)) : fd;
}

int root_make(int root, const char *path, bool directory, struct err *err)
{
	int fd = open_how(root, path, O_PATH, 0);
	if (fd >= 0 || errno != ENOENT)
		return fd >= 0 ? fd : err_set(err, errno, "open %s: %s", path, strerror(errno));
	char part[4096];
	if (snprintf(part, sizeof part, "%s", path) >= (int)sizeof part)
		return err_set(err, ENAMETOOLONG, "path is too long");
	autoclose at = open_how(root, "/", O_PATH | O_DIRECTORY, 0);
	/* Each prefix is resolved anew from the root, since a component can be a link. */
	for (char *name = part; *name != '\0';) {
		name += strspn(name, "/");
		if (*name == '\0')
			break;
		char *end = strchrnul(name, '/');
		bool last = end[strspn(end, "/")] == '\0';
		char was = *end;
		*end = '\0';
		int next = open_how(root, part, O_PATH, 0);
		if (next < 0 && errno == ENOENT) {
			if (last && !directory) {
				autoclose made = openat(at, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0644);
				if (made < 0)
					return err_set(err, errno, "create %s: %s", part, strerror(errno));
			} else if (mkdirat(at, name, 0755) < 0 && errno != EEXIST) {
				return err_set(err, errno, "mkdir %s: %s", part, strerror(errno));
			}
			next = open_how(root, part, O_PATH, 0);
		}
		if (next < 0)
			return err_set(err, errno, "open %s: %s", part, strerror(errno));
		io_close_fd(&at);
		at = next;
		*end = was;
		name = end;
	}
	int keep = at;
	at = -1;
	return keep;
}
