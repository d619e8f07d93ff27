#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../src/caps.h"
#include "../src/mounts.h"
#include "monitor.h"

static int write_map(pid_t pid, const char *file, const struct id_mapping *map, uint32_t n, struct err *err)
{
	char path[64], text[4096];
	size_t used = 0;
	for (uint32_t i = 0; i < n && used < sizeof text; i++)
		used += (size_t)snprintf(text + used, sizeof text - used, "%u %u %u\n", map[i].container_id, map[i].host_id, map[i].size);
	if (used >= sizeof text)
		return err_set(err, E2BIG, "too many ID mappings");
	snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
	return io_write_file_at(AT_FDCWD, path, text, err);
}

/* Host ID of the namespace's root. */
static uint32_t root_id(const struct id_mapping *map, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (map[i].container_id == 0)
			return map[i].host_id;
	return 0;
}

/*
 * Shows the layers with their owners as the namespace maps them, so that snapshots need no change of owner: an idmapped copy of
 * the directory that holds them all. 1 where kernel or file system cannot.
 */
static int show_mapped(const struct spec *s, pid_t pid, struct err *err)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/ns/user", pid);
	autoclose userns = open(path, O_RDONLY | O_CLOEXEC);
	if (userns < 0)
		return err_set(err, errno, "open %s: %s", path, strerror(errno));
	autoclose tree = open_tree(AT_FDCWD, s->rootfs.base, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0)
		return err_set(err, errno, "open %s: %s", s->rootfs.base, strerror(errno));
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns };
	if (mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0)
		return errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP ? 1 : err_set(err, errno, "map owners: %s", strerror(errno));
	if (move_mount(tree, "", AT_FDCWD, s->rootfs.base, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_set(err, errno, "attach %s: %s", s->rootfs.base, strerror(errno));
	return 0;
}

/* In a process of its own, whose mount namespace ends with it. Answers a detached mount. */
static int mount_root(const struct spec *s, pid_t pid, struct err *err)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_set(err, errno, "unshare mounts: %s", strerror(errno));
	int plain = show_mapped(s, pid, err);
	if (plain < 0 || chdir(s->rootfs.base) < 0)
		return plain < 0 ? -1 : err_set(err, errno, "chdir %s: %s", s->rootfs.base, strerror(errno));
	if (plain == 0) {
		/* The overlay writes as who mounted it; that must be someone the mapping knows. */
		uint64_t caps;
		if (caps_permitted(&caps, err) < 0)
			return -1;
		setfsgid(root_id(s->gid_mappings, s->n_gid_mappings));
		setfsuid(root_id(s->uid_mappings, s->n_uid_mappings));
		if (caps_set(caps, err) < 0)
			return -1;
	}
	autoclose root = mount_rootfs_here(&s->rootfs, err);
	return root < 0 ? -1 : mount_clone(root, false, err);
}

static int root_by_helper(const struct spec *s, pid_t pid, struct err *err)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(err, errno, "socketpair: %s", strerror(errno));
	pid_t helper = fork();
	if (helper < 0) {
		close(pair[0]);
		close(pair[1]);
		return err_set(err, errno, "fork: %s", strerror(errno));
	}
	if (helper == 0) {
		struct err why = { 0 };
		int fd = mount_root(s, pid, &why);
		io_send_fds(pair[1], &why, sizeof why, &fd, fd >= 0, NULL);
		_exit(0);
	}
	close(pair[1]);
	struct err why = { .msg = "the helper process ended" };
	int fd = -1;
	size_t n = 1;
	io_recv_fds(pair[0], &why, sizeof why, &fd, &n, 0, NULL);
	close(pair[0]);
	waitpid(helper, NULL, 0);
	return n == 1 ? fd : err_set(err, why.code, "%s", why.msg);
}

int userns_prepare(const struct spec *s, pid_t pid, int sync, struct err *err)
{
	if (write_map(pid, "uid_map", s->uid_mappings, s->n_uid_mappings, err) < 0 ||
	    write_map(pid, "gid_map", s->gid_mappings, s->n_gid_mappings, err) < 0)
		return -1;
	autoclose root = root_by_helper(s, pid, err);
	char mapped = SYNC_MAPPED, source = SYNC_SOURCE;
	if (root < 0 || io_send_fds(sync, &mapped, 1, &root, 1, err) < 0)
		return -1;
	for (uint32_t i = 0; i < s->n_mounts; i++) {
		struct mount_options o;
		if (!mount_is_bind(&s->mounts[i]))
			continue;
		if (mount_options_parse(&s->mounts[i].options, &o, err) < 0)
			return -1;
		autoclose fd = mount_clone_source(&s->mounts[i], &o, err);
		if (fd < 0 || io_send_fds(sync, &source, 1, &fd, 1, err) < 0)
			return -1;
	}
	return 0;
}
