#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tree.h"

/* Deeper directories are first moved up to the top, so that neither stack nor descriptors depend on what is removed. */
#define DEPTH_MAX 64

int open_beneath(int root, const char *path, uint64_t flags, uint64_t resolve)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = resolve | RESOLVE_NO_MAGICLINKS };
	long fd;
	for (int tries = 0; (fd = syscall(SYS_openat2, root, path, &how, sizeof how)) < 0 && errno == EAGAIN && tries < 64; tries++)
		;
	return (int)fd;
}

static int open_dir(int dir, const char *name)
{
	return open_beneath(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS);
}

struct top {
	int fd;
	unsigned moved;
};

/* Moves a deep directory to the top, under a name that is free. */
static int move_up(struct top *top, int dir, const char *name)
{
	char to[32];
	do {
		snprintf(to, sizeof to, ".gantry-deep-%u", top->moved++);
	} while (syscall(SYS_renameat2, dir, name, top->fd, to, 1 /* RENAME_NOREPLACE */) < 0 && errno == EEXIST);
	return faccessat(top->fd, to, F_OK, AT_SYMLINK_NOFOLLOW);
}

static int empty_dir(struct top *top, int fd, int depth);

static int remove_entry(struct top *top, int dir, const char *name, int depth)
{
	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -1;
	int code = errno;
	int fd = open_dir(dir, name);
	if (fd < 0) {
		/* A file that may not be unlinked (immutable) says EPERM too. */
		if (errno == ENOTDIR || errno == ELOOP)
			errno = code;
		return -1;
	}
	if (depth >= DEPTH_MAX) {
		close(fd);
		return move_up(top, dir, name);
	}
	/* Takes over fd. */
	if (empty_dir(top, fd, depth + 1) < 0)
		return -1;
	return unlinkat(dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -1 : 0;
}

static int empty_dir(struct top *top, int fd, int depth)
{
	DIR *d = fdopendir(fd);
	if (d == NULL) {
		int code = errno;
		close(fd);
		errno = code;
		return -1;
	}
	int status = 0;
	struct dirent *e;
	while (status == 0 && (errno = 0, e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			status = remove_entry(top, dirfd(d), e->d_name, depth);
	int code = errno;
	closedir(d);
	errno = code;
	return status == 0 && code == 0 ? 0 : -1;
}

int remove_all(int dir, const char *name)
{
	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -1;
	struct top top = { .fd = open_dir(dir, name) };
	if (top.fd < 0)
		return -1;
	int status;
	/* Again as long as deep directories were moved up meanwhile: readdir need not have shown them. */
	do {
		top.moved = 0;
		int fd = fcntl(top.fd, F_DUPFD_CLOEXEC, 3);
		if (fd >= 0)
			lseek(fd, 0, SEEK_SET);
		status = fd < 0 ? -1 : empty_dir(&top, fd, 0);
	} while (status == 0 && top.moved > 0);
	int code = errno;
	close(top.fd);
	errno = code;
	if (status < 0)
		return -1;
	return unlinkat(dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -1 : 0;
}

struct remove_job {
	struct job job;
	int dir;
	char *name;
};

static int remove_run(struct job *job)
{
	struct remove_job *r = (struct remove_job *)job;
	return remove_all(r->dir, r->name) < 0 ? sys_error_set(&job->error, errno, "removeTree", r->name) : 0;
}

static void remove_clean(napi_env env, struct job *job)
{
	(void)env;
	struct remove_job *r = (struct remove_job *)job;
	if (r->dir >= 0)
		close(r->dir);
	free(r->name);
	free(r);
}

napi_value tree_remove(napi_env env, napi_callback_info info)
{
	napi_value a[2];
	int32_t dir;
	if (!args_get(env, info, 2, a) || !arg_i32(env, a[0], &dir))
		return NULL;
	struct remove_job *r = calloc(1, sizeof *r);
	if (r == NULL)
		return error_throw(env, ENOMEM, "malloc", NULL);
	r->job.run = remove_run;
	r->job.clean = remove_clean;
	r->dir = -1;
	if ((r->name = arg_str_dup(env, a[1])) == NULL || (r->dir = fcntl(dir, F_DUPFD_CLOEXEC, 3)) < 0) {
		if (r->name != NULL)
			error_throw(env, errno, "dup", NULL);
		remove_clean(env, &r->job);
		return NULL;
	}
	return job_start(env, &r->job, "removeTree");
}
