/*
 * File system calls that Node has not: relative to directory descriptors, beneath a root, extended attributes, overlay mounts.
 * The contract is NativeFs in libs/runtime/src/native-port.ts.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs-lock.h"
#include "fs-mount.h"
#include "napi-util.h"
#include "tree.h"

static napi_value fs_openat2(napi_env env, napi_callback_info info)
{
	napi_value a[5];
	int32_t dir, flags, mode;
	char path[ADDON_PATH_MAX], resolve[16];
	if (!args_get(env, info, 5, a) || !arg_i32(env, a[0], &dir) || !arg_str(env, a[1], path, sizeof path) ||
	    !arg_i32(env, a[2], &flags) || !arg_i32(env, a[3], &mode) || !arg_str(env, a[4], resolve, sizeof resolve))
		return NULL;
	struct open_how how = {
		.flags = (uint32_t)flags | O_CLOEXEC,
		.mode = (uint32_t)flags & (O_CREAT | __O_TMPFILE) ? (uint32_t)mode : 0,
		.resolve = RESOLVE_NO_MAGICLINKS,
	};
	if (strcmp(resolve, "beneath") == 0)
		how.resolve |= RESOLVE_BENEATH;
	else if (strcmp(resolve, "in-root") == 0)
		how.resolve |= RESOLVE_IN_ROOT;
	else
		return type_error(env, "resolve is \"beneath\" or \"in-root\"");
	long fd;
	/* EAGAIN: something on the way was renamed while the kernel looked. */
	for (int tries = 0; (fd = syscall(SYS_openat2, dir, path, &how, sizeof how)) < 0 && errno == EAGAIN && tries < 64; tries++)
		;
	if (fd < 0)
		return error_throw(env, errno, "openat2", path);
	return value_i32(env, (int32_t)fd);
}

static napi_value fs_mkdirat(napi_env env, napi_callback_info info)
{
	napi_value a[3];
	int32_t dir;
	uint32_t mode;
	char name[ADDON_PATH_MAX];
	if (!args_get(env, info, 3, a) || !arg_i32(env, a[0], &dir) || !arg_str(env, a[1], name, sizeof name) ||
	    !arg_u32(env, a[2], &mode))
		return NULL;
	if (mkdirat(dir, name, mode) < 0)
		return error_throw(env, errno, "mkdirat", name);
	return value_undefined(env);
}

static napi_value fs_mknodat(napi_env env, napi_callback_info info)
{
	napi_value a[5];
	int32_t dir;
	uint32_t mode, maj, min;
	char name[ADDON_PATH_MAX];
	if (!args_get(env, info, 5, a) || !arg_i32(env, a[0], &dir) || !arg_str(env, a[1], name, sizeof name) ||
	    !arg_u32(env, a[2], &mode) || !arg_u32(env, a[3], &maj) || !arg_u32(env, a[4], &min))
		return NULL;
	if (mknodat(dir, name, mode, makedev(maj, min)) < 0)
		return error_throw(env, errno, "mknodat", name);
	return value_undefined(env);
}

static napi_value fs_symlinkat(napi_env env, napi_callback_info info)
{
	napi_value a[3];
	int32_t dir;
	char target[ADDON_PATH_MAX], name[ADDON_PATH_MAX];
	if (!args_get(env, info, 3, a) || !arg_str(env, a[0], target, sizeof target) || !arg_i32(env, a[1], &dir) ||
	    !arg_str(env, a[2], name, sizeof name))
		return NULL;
	if (symlinkat(target, dir, name) < 0)
		return error_throw(env, errno, "symlinkat", name);
	return value_undefined(env);
}

static bool two_names(napi_env env, napi_callback_info info, int32_t *from, char *old, int32_t *to, char *new)
{
	napi_value a[4];
	return args_get(env, info, 4, a) && arg_i32(env, a[0], from) && arg_str(env, a[1], old, ADDON_PATH_MAX) &&
	       arg_i32(env, a[2], to) && arg_str(env, a[3], new, ADDON_PATH_MAX);
}

static napi_value fs_linkat(napi_env env, napi_callback_info info)
{
	int32_t from, to;
	char old[ADDON_PATH_MAX], new[ADDON_PATH_MAX];
	if (!two_names(env, info, &from, old, &to, new))
		return NULL;
	if (linkat(from, old, to, new, 0) < 0)
		return error_throw(env, errno, "linkat", new);
	return value_undefined(env);
}

static napi_value fs_renameat(napi_env env, napi_callback_info info)
{
	int32_t from, to;
	char old[ADDON_PATH_MAX], new[ADDON_PATH_MAX];
	if (!two_names(env, info, &from, old, &to, new))
		return NULL;
	if (renameat(from, old, to, new) < 0)
		return error_throw(env, errno, "renameat", old);
	return value_undefined(env);
}

static napi_value fs_unlinkat(napi_env env, napi_callback_info info)
{
	napi_value a[3];
	int32_t dir;
	bool directory;
	char name[ADDON_PATH_MAX];
	if (!args_get(env, info, 3, a) || !arg_i32(env, a[0], &dir) || !arg_str(env, a[1], name, sizeof name) ||
	    !arg_bool(env, a[2], &directory))
		return NULL;
	if (unlinkat(dir, name, directory ? AT_REMOVEDIR : 0) < 0)
		return error_throw(env, errno, "unlinkat", name);
	return value_undefined(env);
}

static napi_value fs_readlinkat(napi_env env, napi_callback_info info)
{
	napi_value a[3], out = NULL;
	size_t argc = 3;
	int32_t dir;
	char name[ADDON_PATH_MAX], target[ADDON_PATH_MAX], encoding[16] = "utf8";
	if (!args_get(env, info, 2, a) || !arg_i32(env, a[0], &dir) || !arg_str(env, a[1], name, sizeof name) ||
	    napi_get_cb_info(env, info, &argc, a, NULL, NULL) != napi_ok ||
	    (argc == 3 && !arg_str(env, a[2], encoding, sizeof encoding)))
		return NULL;
	ssize_t n = readlinkat(dir, name, target, sizeof target);
	if (n < 0)
		return error_throw(env, errno, "readlinkat", name);
	if (strcmp(encoding, "latin1") == 0)
		napi_create_string_latin1(env, target, (size_t)n, &out);
	else
		napi_create_string_utf8(env, target, (size_t)n, &out);
	return out;
}

/* The mode of `name` itself: Linux has no lchmod, so by an O_PATH descriptor and /proc. A link answers EOPNOTSUPP. */
static int chmod_nofollow(int dir, const char *name, mode_t mode)
{
	cleanup_fd int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -1;
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -1;
	if (S_ISLNK(st.st_mode)) {
		errno = EOPNOTSUPP;
		return -1;
	}
	char proc[32];
	snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd);
	return chmod(proc, mode);
}

static napi_value fs_fchmodat(napi_env env, napi_callback_info info)
{
	napi_value a[3];
	int32_t dir;
	uint32_t mode;
	char name[ADDON_PATH_MAX];
	if (!args_get(env, info, 3, a) || !arg_i32(env, a[0], &dir) || !arg_str(env, a[1], name, sizeof name) ||
	    !arg_u32(env, a[2], &mode))
		return NULL;
	if (chmod_nofollow(dir, name, mode & 07777) < 0)
		return error_throw(env, errno, "fchmodat", name);
	return value_undefined(env);
}

static napi_value fs_fchownat(napi_env env, napi_callback_info info)
{
	napi_value a[4];
	int32_t dir;
	uint32_t uid, gid;
	char name[ADDON_PATH_MAX];
	if (!args_get(env, info, 4, a) || !arg_i32(env, a[0], &dir) || !arg_str(env, a[1], name, sizeof name) ||
	    !arg_u32(env, a[2], &uid) || !arg_u32(env, a[3], &gid))
		return NULL;
	if (fchownat(dir, name, uid, gid, AT_SYMLINK_NOFOLLOW | (name[0] == '\0' ? AT_EMPTY_PATH : 0)) < 0)
		return error_throw(env, errno, "fchownat", name);
	return value_undefined(env);
}

struct timespec timespec_of_ns(int64_t ns)
{
	struct timespec t = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
	if (t.tv_nsec < 0) {
		t.tv_nsec += 1000000000;
		t.tv_sec--;
	}
	return t;
}

static napi_value fs_utimensat(napi_env env, napi_callback_info info)
{
	napi_value a[4];
	int32_t dir;
	int64_t atime, mtime;
	char name[ADDON_PATH_MAX];
	if (!args_get(env, info, 4, a) || !arg_i32(env, a[0], &dir) || !arg_str(env, a[1], name, sizeof name) ||
	    !arg_big(env, a[2], &atime) || !arg_big(env, a[3], &mtime))
		return NULL;
	struct timespec times[2] = { timespec_of_ns(atime), timespec_of_ns(mtime) };
	if (utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW | (name[0] == '\0' ? AT_EMPTY_PATH : 0)) < 0)
		return error_throw(env, errno, "utimensat", name);
	return value_undefined(env);
}

static bool set_number(napi_env env, napi_value object, const char *name, double v)
{
	napi_value value = NULL;
	return napi_create_double(env, v, &value) == napi_ok && set_named(env, object, name, value);
}

static napi_value fs_fstatat(napi_env env, napi_callback_info info)
{
	napi_value a[2], out = NULL, mtime = NULL;
	int32_t dir;
	char name[ADDON_PATH_MAX];
	if (!args_get(env, info, 2, a) || !arg_i32(env, a[0], &dir) || !arg_str(env, a[1], name, sizeof name))
		return NULL;
	struct stat st;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW | (name[0] == '\0' ? AT_EMPTY_PATH : 0)) < 0)
		return error_throw(env, errno, "fstatat", name);
	int64_t ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	if (napi_create_object(env, &out) != napi_ok || napi_create_bigint_int64(env, ns, &mtime) != napi_ok)
		return NULL;
	if (!set_number(env, out, "mode", st.st_mode) || !set_number(env, out, "uid", st.st_uid) ||
	    !set_number(env, out, "gid", st.st_gid) || !set_number(env, out, "size", (double)st.st_size) ||
	    !set_number(env, out, "blocks", (double)st.st_blocks) || !set_number(env, out, "nlink", (double)st.st_nlink) ||
	    !set_number(env, out, "ino", (double)st.st_ino) || !set_number(env, out, "dev", (double)st.st_dev) ||
	    !set_number(env, out, "major", major(st.st_rdev)) || !set_number(env, out, "minor", minor(st.st_rdev)) ||
	    !set_named(env, out, "mtimeNs", mtime))
		return NULL;
	return out;
}

static napi_value fs_list_xattr(napi_env env, napi_callback_info info)
{
	napi_value a[1], out = NULL;
	char path[ADDON_PATH_MAX];
	if (!args_get(env, info, 1, a) || !arg_str(env, a[0], path, sizeof path))
		return NULL;
	/* XATTR_LIST_MAX: the kernel gives no more. */
	cleanup_free char *names = malloc(65536);
	if (names == NULL)
		return error_throw(env, ENOMEM, "malloc", NULL);
	ssize_t n = llistxattr(path, names, 65536);
	if (n < 0 && errno == ENOTSUP)
		n = 0;
	if (n < 0)
		return error_throw(env, errno, "llistxattr", path);
	if (napi_create_array(env, &out) != napi_ok)
		return NULL;
	uint32_t i = 0;
	for (ssize_t at = 0; at < n; at += (ssize_t)strlen(names + at) + 1) {
		napi_value name = NULL;
		if (napi_create_string_utf8(env, names + at, NAPI_AUTO_LENGTH, &name) != napi_ok ||
		    napi_set_element(env, out, i++, name) != napi_ok)
			return NULL;
	}
	return out;
}

static napi_value fs_get_xattr(napi_env env, napi_callback_info info)
{
	napi_value a[2], out = NULL;
	char path[ADDON_PATH_MAX], name[256];
	if (!args_get(env, info, 2, a) || !arg_str(env, a[0], path, sizeof path) || !arg_str(env, a[1], name, sizeof name))
		return NULL;
	/* XATTR_SIZE_MAX. */
	cleanup_free char *value = malloc(65536);
	if (value == NULL)
		return error_throw(env, ENOMEM, "malloc", NULL);
	ssize_t n = lgetxattr(path, name, value, 65536);
	if (n < 0)
		return error_throw(env, errno, "lgetxattr", path);
	napi_create_buffer_copy(env, (size_t)n, value, NULL, &out);
	return out;
}

static napi_value fs_set_xattr(napi_env env, napi_callback_info info)
{
	napi_value a[3];
	char path[ADDON_PATH_MAX], name[256];
	uint8_t *value;
	size_t len;
	if (!args_get(env, info, 3, a) || !arg_str(env, a[0], path, sizeof path) || !arg_str(env, a[1], name, sizeof name) ||
	    !arg_bytes(env, a[2], &value, &len))
		return NULL;
	if (lsetxattr(path, name, value, len, 0) < 0)
		return error_throw(env, errno, "lsetxattr", path);
	return value_undefined(env);
}

static bool add_range(napi_env env, napi_value out, uint32_t i, off_t offset, off_t length)
{
	napi_value range = NULL;
	return napi_create_object(env, &range) == napi_ok && set_number(env, range, "offset", (double)offset) &&
	       set_number(env, range, "length", (double)length) && napi_set_element(env, out, i, range) == napi_ok;
}

static napi_value fs_data_ranges(napi_env env, napi_callback_info info)
{
	napi_value a[2], out = NULL;
	int32_t fd;
	int64_t size;
	if (!args_get(env, info, 2, a) || !arg_i32(env, a[0], &fd) || !arg_i64(env, a[1], &size))
		return NULL;
	if (napi_create_array(env, &out) != napi_ok)
		return NULL;
	uint32_t i = 0;
	for (off_t at = 0; at < size;) {
		off_t data = lseek(fd, at, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			break;
		if (data < 0)
			return error_throw(env, errno, "lseek", NULL);
		off_t hole = lseek(fd, data, SEEK_HOLE);
		if (hole < 0)
			return error_throw(env, errno, "lseek", NULL);
		if (data >= size)
			break;
		if (hole > size)
			hole = size;
		if (!add_range(env, out, i++, data, hole - data))
			return NULL;
		at = hole;
	}
	return out;
}

struct syncfs_job {
	struct job job;
	int fd;
};

static int syncfs_run(struct job *job)
{
	struct syncfs_job *s = (struct syncfs_job *)job;
	return syncfs(s->fd) < 0 ? sys_error_set(&job->error, errno, "syncfs", NULL) : 0;
}

static void syncfs_clean(napi_env env, struct job *job)
{
	(void)env;
	close(((struct syncfs_job *)job)->fd);
	free(job);
}

static napi_value fs_syncfs(napi_env env, napi_callback_info info)
{
	napi_value a[1];
	int32_t fd;
	if (!args_get(env, info, 1, a) || !arg_i32(env, a[0], &fd))
		return NULL;
	/* A duplicate: the caller may close its own at once. */
	int dup = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (dup < 0)
		return error_throw(env, errno, "dup", NULL);
	struct syncfs_job *s = calloc(1, sizeof *s);
	if (s == NULL) {
		close(dup);
		return error_throw(env, ENOMEM, "malloc", NULL);
	}
	s->job.run = syncfs_run;
	s->job.clean = syncfs_clean;
	s->fd = dup;
	return job_start(env, &s->job, "syncfs");
}

napi_value init_fs(napi_env env, napi_value exports);

napi_value init_fs(napi_env env, napi_value exports)
{
	static const struct fn fns[] = {
		{ "openat2Sync", fs_openat2 },
		{ "mkdiratSync", fs_mkdirat },
		{ "mknodatSync", fs_mknodat },
		{ "symlinkatSync", fs_symlinkat },
		{ "linkatSync", fs_linkat },
		{ "unlinkatSync", fs_unlinkat },
		{ "renameatSync", fs_renameat },
		{ "readlinkatSync", fs_readlinkat },
		{ "fchmodatSync", fs_fchmodat },
		{ "fchownatSync", fs_fchownat },
		{ "utimensatSync", fs_utimensat },
		{ "fstatatSync", fs_fstatat },
		{ "listXattrSync", fs_list_xattr },
		{ "getXattrSync", fs_get_xattr },
		{ "setXattrSync", fs_set_xattr },
		{ "dataRangesSync", fs_data_ranges },
		{ "syncfs", fs_syncfs },
		{ "flock", fs_flock },
		{ "mountOverlay", fs_mount_overlay },
		{ "unmount", fs_unmount },
		{ "treeWriter", tree_writer },
		{ "treeWrite", tree_write },
		{ "treeWriterClose", tree_writer_close },
		{ "treeReader", tree_reader },
		{ "treeRead", tree_read },
		{ "treeReaderClose", tree_reader_close },
		{ "removeTree", tree_remove },
	};
	return export_fns(env, exports, fns, sizeof fns / sizeof *fns);
}
