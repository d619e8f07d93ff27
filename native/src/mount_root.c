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
#include "overlay.h"

static bool plain(const char *name) { return name[0] != '\0' && strpbrk(name, ":,\\") == NULL; }

static bool all_plain(const struct rootfs *r)
{
	for (uint32_t i = 0; i < r->lowers.n; i++)
		if (!plain(r->lowers.v[i]))
			return false;
	return r->upper == NULL || (plain(r->upper) && plain(r->work));
}

static int overlay(const struct rootfs *r, const char *target, struct err *err)
{
	struct overlay o = {
		.base = r->base, .lowers = r->lowers.v, .nlowers = r->lowers.n, .upper = r->upper, .work = r->work,
		.is_volatile = r->is_volatile,
	};
	if (overlay_mount_here(&o, target, 0, err) == 0)
		return 0;
	if (err->code == EINVAL && r->is_volatile) {
		/* What a volatile mount leaves when its container could not start. Its upper was never synced, nor is it promised to be. */
		char mark[4096];
		if (snprintf(mark, sizeof mark, "%s/work/incompat/volatile/dirty", r->work) < (int)sizeof mark && unlink(mark) == 0) {
			*strrchr(mark, '/') = '\0';
			if (rmdir(mark) == 0)
				return overlay_mount_here(&o, target, 0, err);
		}
	}
	if (err->code != E2BIG)
		return -1;
	/* More layers than the options of mount(2) have room for. */
	autoclose mnt = overlay_fsmount(&o, 0, err);
	if (mnt < 0)
		return -1;
	if (move_mount(mnt, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_set(err, errno, "attach overlay: %s", strerror(errno));
	return 0;
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
