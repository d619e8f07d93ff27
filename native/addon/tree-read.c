/*
 * The tree reader: every entry beneath a path, parents before children, names of one directory in the order of their bytes.
 * Entries, little-endian, each a head of 88 bytes, then path, target of a link, extended attributes, content:
 *
 *    0 u32 length of all   4 u16 path length   6 u16 target length   8 u32 attributes length
 *   12 u32 content length (0xffffffff: not inlined)
 *   16 u32 mode (with type)   20 u32 uid   24 u32 gid   28 u32 nlink   32 u32 major   36 u32 minor
 *   40 i64 mtime (ns)   48 u64 size   56 u64 inode   64 u64 device   72 u64 blocks of 512   80 u64 0
 *
 * An attribute: u16 name length, u32 value length, name, value. Paths are relative to the root, whose own is empty. No link is
 * followed; an entry that vanishes while the tree is read is left out. Only one directory is open at a time.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tree.h"

#define HEAD 88
#define NOT_INLINED 0xffffffffu
/* Of one file's attributes altogether. The buffer of a read must hold this and a file's inlined content. */
#define XATTRS_MAX (192 * 1024)
/* Names that one directory may have. */
#define NAMES_MAX (16 * 1024 * 1024)

struct frame {
	char *names;  /* NUL-terminated, one after the other */
	char **sorted;
	size_t n, next;
	size_t path_len; /* of this directory's path */
};

#define READER_MAGIC 0x67797264u

struct reader {
	uint32_t magic;
	int root;
	/* Not empty: only this entry of the root, and not what is in it. */
	char only[256];
	bool busy, closed, started, ended;
	uint32_t inline_max;
	bool xattrs;
	char path[ADDON_PATH_MAX];
	size_t path_len;
	struct frame *stack;
	size_t depth, cap;
	int dir; /* of the top frame; -1: to be opened again */
};

static void pop(struct reader *r)
{
	struct frame *f = &r->stack[--r->depth];
	free(f->names);
	free(f->sorted);
	if (r->dir >= 0)
		close(r->dir);
	r->dir = -1;
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int open_at_path(struct reader *r, size_t len, uint64_t flags)
{
	char saved = r->path[len];
	r->path[len] = '\0';
	int fd = open_beneath(r->root, len == 0 ? "." : r->path, flags, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
	r->path[len] = saved;
	return fd;
}

static int read_names(DIR *d, struct frame *f)
{
	size_t len = 0, cap = 0;
	struct dirent *e;
	while ((errno = 0, e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		size_t n = strlen(e->d_name) + 1;
		if (len + n > cap) {
			cap = cap == 0 ? 4096 : cap * 2;
			char *more = realloc(f->names, cap);
			if (more == NULL)
				return -1;
			f->names = more;
		}
		memcpy(f->names + len, e->d_name, n);
		len += n;
		if (++f->n > NAMES_MAX) {
			errno = EOVERFLOW;
			return -1;
		}
	}
	if (errno != 0)
		return -1;
	f->sorted = malloc((f->n > 0 ? f->n : 1) * sizeof *f->sorted);
	if (f->sorted == NULL)
		return -1;
	char *at = f->names;
	for (size_t i = 0; i < f->n; i++, at += strlen(at) + 1)
		f->sorted[i] = at;
	qsort(f->sorted, f->n, sizeof *f->sorted, by_bytes);
	return 0;
}

/* Goes down into the directory at r->path. 1: it is gone or is none any more. */
static int push(struct reader *r)
{
	int fd = open_at_path(r, r->path_len, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? 1 : -1;
	if (r->depth == r->cap) {
		size_t cap = r->cap == 0 ? 16 : r->cap * 2;
		struct frame *more = realloc(r->stack, cap * sizeof *more);
		if (more == NULL) {
			close(fd);
			return -1;
		}
		r->stack = more;
		r->cap = cap;
	}
	int dir = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	DIR *d = dir < 0 ? NULL : fdopendir(fd);
	if (d == NULL) {
		int code = errno;
		close(fd);
		if (dir >= 0)
			close(dir);
		errno = code;
		return -1;
	}
	struct frame *f = &r->stack[r->depth++];
	*f = (struct frame){ .path_len = r->path_len };
	if (r->dir >= 0)
		close(r->dir);
	r->dir = dir;
	int status = read_names(d, f);
	int code = errno;
	closedir(d);
	errno = code;
	return status;
}

static bool same(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && S_ISREG(b->st_mode);
}

/* Content of a small file: as many bytes as there are, at most st->st_size. -1: gone or another one now. */
static ssize_t read_content(struct reader *r, const char *name, const struct stat *st, uint8_t *buf)
{
	cleanup_fd int fd = openat(r->dir >= 0 ? r->dir : r->root, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat now;
	if (fd < 0 || fstat(fd, &now) < 0)
		return -1;
	if (!same(st, &now)) {
		errno = ENOENT;
		return -1;
	}
	size_t at = 0;
	while (at < (size_t)st->st_size) {
		ssize_t n = read(fd, buf + at, (size_t)st->st_size - at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		at += (size_t)n;
	}
	return (ssize_t)at;
}

/* Answers the length written, or -1. */
static ssize_t read_xattrs(const char *path, uint8_t *buf, size_t cap)
{
	char list[4096], *names = list;
	cleanup_free char *big = NULL;
	ssize_t n = llistxattr(path, list, sizeof list);
	if (n < 0 && errno == ERANGE) {
		names = big = malloc(65536);
		n = big == NULL ? -1 : llistxattr(path, big, 65536);
	}
	if (n < 0)
		return errno == ENOTSUP ? 0 : -1;
	size_t at = 0;
	for (const char *name = names; name < names + n; name += strlen(name) + 1) {
		size_t len = strlen(name);
		if (cap - at < 6 + len + 65536) {
			errno = E2BIG;
			return -1;
		}
		ssize_t value = lgetxattr(path, name, buf + at + 6 + len, 65536);
		if (value < 0 && (errno == ENODATA || errno == ENOTSUP))
			continue;
		if (value < 0)
			return -1;
		put16(buf + at, (uint16_t)len);
		put32(buf + at + 2, (uint32_t)value);
		memcpy(buf + at + 6, name, len);
		at += 6 + len + (size_t)value;
	}
	return (ssize_t)at;
}

/* Writes the entry at r->path, which is `name` in the open directory. Its length; 0: gone; -1: error; -2: does not fit. */
static ssize_t put_entry(struct reader *r, const char *name, uint8_t *buf, size_t cap, mode_t *mode)
{
	struct stat st;
	int dir = r->dir >= 0 ? r->dir : r->root;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -1;
	*mode = st.st_mode;
	bool inlined = S_ISREG(st.st_mode) && (uint64_t)st.st_size <= r->inline_max;
	size_t need = HEAD + r->path_len + ADDON_PATH_MAX + (inlined ? (size_t)st.st_size : 0);
	if (cap < need)
		return -2;
	size_t at = HEAD;
	memcpy(buf + at, r->path, r->path_len);
	at += r->path_len;
	ssize_t target = 0, xattrs = 0, content = 0;
	if (S_ISLNK(st.st_mode)) {
		target = readlinkat(dir, name, (char *)buf + at, ADDON_PATH_MAX);
		if (target < 0)
			return errno == ENOENT || errno == EINVAL ? 0 : -1;
		at += (size_t)target;
	}
	if (r->xattrs) {
		char path[ADDON_PATH_MAX];
		snprintf(path, sizeof path, "/proc/self/fd/%d/%s", dir, name);
		/* First the length of the list only: most files have none. */
		ssize_t any = llistxattr(path, NULL, 0);
		if (any < 0 && errno != ENOTSUP)
			return errno == ENOENT ? 0 : -1;
		if (any > 0) {
			if (cap < need + XATTRS_MAX)
				return -2;
			xattrs = read_xattrs(path, buf + at, XATTRS_MAX);
			if (xattrs < 0)
				return errno == ENOENT ? 0 : -1;
			at += (size_t)xattrs;
		}
	}
	uint64_t size = (uint64_t)st.st_size;
	if (inlined) {
		content = read_content(r, name, &st, buf + at);
		if (content < 0)
			return errno == ENOENT || errno == ELOOP || errno == ENXIO ? 0 : -1;
		size = (uint64_t)content;
		at += (size_t)content;
	}
	put32(buf, (uint32_t)at);
	put16(buf + 4, (uint16_t)r->path_len);
	put16(buf + 6, (uint16_t)target);
	put32(buf + 8, (uint32_t)xattrs);
	put32(buf + 12, inlined ? (uint32_t)content : NOT_INLINED);
	put32(buf + 16, st.st_mode);
	put32(buf + 20, st.st_uid);
	put32(buf + 24, st.st_gid);
	put32(buf + 28, (uint32_t)st.st_nlink);
	put32(buf + 32, major(st.st_rdev));
	put32(buf + 36, minor(st.st_rdev));
	put64(buf + 40, (uint64_t)((int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec));
	put64(buf + 48, size);
	put64(buf + 56, st.st_ino);
	put64(buf + 64, st.st_dev);
	put64(buf + 72, (uint64_t)st.st_blocks);
	put64(buf + 80, 0);
	return (ssize_t)at;
}

/* Sets r->path to the next name of the top frame, and opens that directory again if need be. 1: skip, 0: ready, -1: error. */
static int step(struct reader *r, const char **name)
{
	struct frame *f = &r->stack[r->depth - 1];
	*name = f->sorted[f->next];
	size_t len = strlen(*name), at = f->path_len;
	if (r->dir < 0) {
		r->dir = open_at_path(r, f->path_len, O_PATH | O_DIRECTORY);
		if (r->dir < 0) {
			if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
				return -1;
			f->next = f->n; /* the whole directory is gone */
			return 1;
		}
	}
	if (at + 1 + len >= sizeof r->path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if (at > 0)
		r->path[at++] = '/';
	memcpy(r->path + at, *name, len + 1);
	r->path_len = at + len;
	return 0;
}

/* Writes one entry and goes down if it is a directory. As put_entry. */
static ssize_t next_entry(struct reader *r, uint8_t *buf, size_t cap)
{
	const char *name = r->only[0] != '\0' ? r->only : ".";
	if (r->started) {
		while (r->depth > 0 && r->stack[r->depth - 1].next == r->stack[r->depth - 1].n)
			pop(r);
		if (r->depth == 0) {
			r->ended = true;
			return 0;
		}
		int skip = step(r, &name);
		if (skip != 0)
			return skip < 0 ? -1 : 0;
	}
	mode_t mode = 0;
	ssize_t n = put_entry(r, name, buf, cap, &mode);
	if (n == -2 || n == -1)
		return n;
	if (r->started)
		r->stack[r->depth - 1].next++;
	r->started = true;
	if (n > 0 && S_ISDIR(mode) && r->only[0] == '\0' && push(r) < 0)
		return -1;
	return n;
}

struct read_job {
	struct job job;
	struct reader *r;
	napi_ref reader_ref, buffer_ref;
	uint8_t *buf;
	size_t cap, len;
};

static int read_run(struct job *job)
{
	struct read_job *j = (struct read_job *)job;
	while (!j->r->ended) {
		ssize_t n = next_entry(j->r, j->buf + j->len, j->cap - j->len);
		if (n == -2 && j->len > 0)
			break;
		if (n == -2)
			return sys_error_set(&job->error, EMSGSIZE, "treeRead", j->r->path);
		if (n < 0)
			return sys_error_set(&job->error, errno, "treeRead", j->r->path);
		j->len += (size_t)n;
	}
	return 0;
}

static napi_value read_done(napi_env env, struct job *job)
{
	napi_value v = NULL;
	napi_create_uint32(env, (uint32_t)((struct read_job *)job)->len, &v);
	return v;
}

static void read_clean(napi_env env, struct job *job)
{
	struct read_job *j = (struct read_job *)job;
	if (j->r != NULL)
		j->r->busy = false;
	if (j->reader_ref != NULL)
		napi_delete_reference(env, j->reader_ref);
	if (j->buffer_ref != NULL)
		napi_delete_reference(env, j->buffer_ref);
	free(j);
}

static void reader_release(struct reader *r)
{
	while (r->depth > 0)
		pop(r);
	free(r->stack);
	r->stack = NULL;
	if (r->dir >= 0)
		close(r->dir);
	if (r->root >= 0)
		close(r->root);
	r->dir = r->root = -1;
	r->closed = true;
}

static void reader_finalize(napi_env env, void *data, void *hint)
{
	(void)env;
	(void)hint;
	reader_release(data);
	free(data);
}

napi_value tree_reader(napi_env env, napi_callback_info info)
{
	napi_value a[4], out = NULL;
	int32_t root;
	struct reader *r = calloc(1, sizeof *r);
	if (r == NULL)
		return error_throw(env, ENOMEM, "malloc", NULL);
	if (!args_get(env, info, 4, a) || !arg_i32(env, a[0], &root) || !arg_u32(env, a[1], &r->inline_max) ||
	    !arg_bool(env, a[2], &r->xattrs) || !arg_str(env, a[3], r->only, sizeof r->only)) {
		free(r);
		return NULL;
	}
	r->magic = READER_MAGIC;
	r->dir = -1;
	r->root = fcntl(root, F_DUPFD_CLOEXEC, 3);
	if (r->root < 0) {
		free(r);
		return error_throw(env, errno, "dup", NULL);
	}
	if (napi_create_external(env, r, reader_finalize, NULL, &out) != napi_ok) {
		reader_finalize(env, r, NULL);
		return error_throw(env, ENOMEM, "treeReader", NULL);
	}
	return out;
}

static struct reader *reader_arg(napi_env env, napi_value v)
{
	struct reader *r = NULL;
	if (napi_get_value_external(env, v, (void **)&r) != napi_ok || r->magic != READER_MAGIC || r->closed || r->busy) {
		type_error(env, "expected a tree reader that is open and not at work");
		return NULL;
	}
	return r;
}

napi_value tree_read(napi_env env, napi_callback_info info)
{
	napi_value a[2];
	struct reader *r;
	if (!args_get(env, info, 2, a) || (r = reader_arg(env, a[0])) == NULL)
		return NULL;
	struct read_job *j = calloc(1, sizeof *j);
	if (j == NULL)
		return error_throw(env, ENOMEM, "malloc", NULL);
	j->job.run = read_run;
	j->job.done = read_done;
	j->job.clean = read_clean;
	if (!arg_bytes(env, a[1], &j->buf, &j->cap) || napi_create_reference(env, a[0], 1, &j->reader_ref) != napi_ok ||
	    napi_create_reference(env, a[1], 1, &j->buffer_ref) != napi_ok) {
		read_clean(env, &j->job);
		return NULL;
	}
	j->r = r;
	r->busy = true;
	return job_start(env, &j->job, "treeRead");
}

napi_value tree_reader_close(napi_env env, napi_callback_info info)
{
	napi_value a[1];
	struct reader *r;
	if (!args_get(env, info, 1, a) || (r = reader_arg(env, a[0])) == NULL)
		return NULL;
	reader_release(r);
	return value_undefined(env);
}
