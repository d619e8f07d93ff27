/*
 * The tree writer. Operations, little-endian, each a head of 48 bytes, then `path`, then `extra`:
 *
 *    0 u8 kind    1 u8 flags   2 u16 path length   4 u32 extra length
 *    8 u32 mode  12 u32 uid   16 u32 gid   20 u32 a   24 u32 b   28 u32 c   32 i64 mtime (ns)   40 u64 size
 *
 *   1 DIR       a directory; one that is there takes the new mode and owner. Flag 1: whatever is there stays as it is
 *   2 FILE      begins a file of `size` bytes
 *   3 DATA      its next `c` bytes: chunk `a` from offset `b`
 *   4 END       ends it
 *   5 SYMLINK   extra: the target
 *   6 LINK      extra: path of what is there
 *   7 NODE      device `a`:`b` or FIFO or socket; the type is in mode
 *   8 WHITEOUT  overlay's mark that the lower layers' `path` is gone
 *   9 OPAQUE    overlay's mark that nothing of lower layers is in the directory
 *  10 XATTR     extra: name of `a` bytes, then the value
 *  11 TIMES     sets mtime
 *  12 REMOVE    and all beneath
 *  13 COPY      the file's bytes, from descriptor `a` of this process, which stays the caller's; reflinked where that is possible
 *
 * Parents are resolved as a container's root is (RESOLVE_IN_ROOT); the last component is never followed. What is in the way is
 * removed, unless flag 2 (keep kinds): then a directory in the way of something else, or the reverse, is EISDIR or ENOTDIR.
 */
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

#include "tree-writer.h"

enum kind { DIR_ = 1, FILE_, DATA, END, SYMLINK, LINK, NODE, WHITEOUT, OPAQUE, XATTR, TIMES, REMOVE, COPY };
enum { FLAG_IMPLICIT = 1, FLAG_KEEP_KINDS = 2 };

#define HEAD 48
/* Runs of zeros at least so long become holes, in files at least so big. */
#define HOLE 4096
#define SPARSE_FROM 65536

static void forget_dirs(struct writer *w)
{
	for (size_t i = 0; i < CACHE; i++) {
		if (w->cache[i].path == NULL)
			continue;
		close(w->cache[i].fd);
		free(w->cache[i].path);
		w->cache[i].path = NULL;
	}
}

static uint32_t hash(const char *s, size_t n)
{
	uint32_t h = 2166136261u;
	for (size_t i = 0; i < n; i++)
		h = (h ^ (uint8_t)s[i]) * 16777619u;
	return h;
}

/* The directory that holds `path`, and its last component. The descriptor belongs to the writer. */
static int parent_of(struct writer *w, char *path, const char **name)
{
	char *slash = strrchr(path, '/');
	if (slash == NULL) {
		*name = path;
		return w->root;
	}
	*name = slash + 1;
	size_t n = (size_t)(slash - path);
	struct dir_slot *slot = &w->cache[hash(path, n) % CACHE];
	if (slot->path != NULL && strncmp(slot->path, path, n) == 0 && slot->path[n] == '\0')
		return slot->fd;
	*slash = '\0';
	int fd = open_beneath(w->root, path, O_PATH | O_DIRECTORY, RESOLVE_IN_ROOT);
	char *copy = fd < 0 ? NULL : strdup(path);
	*slash = '/';
	if (copy == NULL) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	if (slot->path != NULL) {
		close(slot->fd);
		free(slot->path);
	}
	*slot = (struct dir_slot){ .path = copy, .fd = fd };
	return fd;
}

static bool is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

/* Makes way for a new entry. `directory`: it will be one. 1: an overlay whiteout was there. */
static int clear_way(struct writer *w, const struct op *op, int dir, const char *name, bool directory)
{
	struct stat st;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -1;
	if (op->flags & FLAG_KEEP_KINDS && S_ISDIR(st.st_mode) != directory) {
		errno = directory ? ENOTDIR : EISDIR;
		return -1;
	}
	int status = remove_all(dir, name) < 0 ? -1 : is_whiteout(&st);
	int code = errno;
	/* Descriptors by paths through what is gone are of the past; `dir` may be one of them. */
	if (S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode))
		forget_dirs(w);
	errno = code;
	return status;
}

/* `dir` may have been closed by clear_way: so it looks again. */
static int make_way(struct writer *w, struct op *op, int *dir, const char **name, bool directory)
{
	int was = clear_way(w, op, *dir, *name, directory);
	if (was < 0)
		return -1;
	*dir = parent_of(w, op->path, name);
	return *dir < 0 ? -1 : was;
}

static struct timespec timespec_of(int64_t ns)
{
	struct timespec t = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
	if (t.tv_nsec < 0) {
		t.tv_nsec += 1000000000;
		t.tv_sec--;
	}
	return t;
}

static int set_times(int dir, const char *name, int64_t mtime)
{
	struct timespec t[2] = { timespec_of(mtime), timespec_of(mtime) };
	return utimensat(dir, name, t, AT_SYMLINK_NOFOLLOW);
}

static int proc_path(char *buf, size_t cap, int dir, const char *name)
{
	int n = snprintf(buf, cap, "/proc/self/fd/%d/%s", dir, name);
	if (n < 0 || (size_t)n >= cap) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return 0;
}

static int set_opaque(int dir, const char *name)
{
	char path[ADDON_PATH_MAX];
	return proc_path(path, sizeof path, dir, name) < 0 ? -1 : lsetxattr(path, "trusted.overlay.opaque", "y", 1, 0);
}

/* Mode of what is no link, by descriptor: chmod of a name would follow one put there meanwhile. */
static int set_mode(int dir, const char *name, uint32_t mode)
{
	cleanup_fd int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	char path[32];
	if (fd < 0)
		return -1;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return chmod(path, mode & 07777);
}

static int write_dir(struct writer *w, struct op *op)
{
	const char *name;
	bool opaque = false;
	if (op->path[0] == '\0') /* the root itself */
		return fchownat(w->root, "", op->uid, op->gid, AT_EMPTY_PATH) < 0 ? -1 : set_mode(w->root, ".", op->mode);
	int dir = parent_of(w, op->path, &name);
	if (dir < 0)
		return -1;
	if (mkdirat(dir, name, 0700) < 0) {
		if (errno != EEXIST)
			return -1;
		struct stat st;
		if (op->flags & FLAG_IMPLICIT)
			return 0;
		if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return -1;
		if (!S_ISDIR(st.st_mode)) {
			int was = make_way(w, op, &dir, &name, true);
			if (was < 0 || mkdirat(dir, name, 0700) < 0)
				return -1;
			opaque = was == 1;
		}
	}
	if (fchownat(dir, name, op->uid, op->gid, AT_SYMLINK_NOFOLLOW) < 0 || set_mode(dir, name, op->mode) < 0)
		return -1;
	return opaque ? set_opaque(dir, name) : 0;
}

static int begin_file(struct writer *w, struct op *op)
{
	const char *name;
	int dir = parent_of(w, op->path, &name);
	if (dir < 0)
		return -1;
	int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(dir, name, flags, 0600);
	if (fd < 0 && errno == EEXIST) {
		if (make_way(w, op, &dir, &name, false) < 0)
			return -1;
		fd = openat(dir, name, flags, 0600);
	}
	if (fd < 0)
		return -1;
	w->file = fd;
	w->file_op = *op;
	w->at = w->written = 0;
	return 0;
}

static int write_run(struct writer *w, const uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t did = pwrite(w->file, p, n, (off_t)w->at);
		if (did < 0 && errno == EINTR)
			continue;
		if (did < 0)
			return -1;
		p += did;
		n -= (size_t)did;
		w->at += (uint64_t)did;
		w->written = w->at;
	}
	return 0;
}

static bool all_zero(const uint8_t *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

/* Writes bytes, leaving out blocks of zeros, which stay holes. */
static int write_sparse(struct writer *w, const uint8_t *p, size_t n)
{
	while (n > 0) {
		size_t zeros = 0, run = 0, block;
		while (zeros < n && (block = HOLE - (w->at + zeros) % HOLE, block = block < n - zeros ? block : n - zeros,
				     all_zero(p + zeros, block)))
			zeros += block;
		w->at += zeros;
		p += zeros;
		n -= zeros;
		while (run < n && (block = HOLE - (w->at + run) % HOLE, block = block < n - run ? block : n - run,
				   !all_zero(p + run, block)))
			run += block;
		if (write_run(w, p, run) < 0)
			return -1;
		p += run;
		n -= run;
	}
	return 0;
}

static int write_data(struct writer *w, const struct op *op, const struct chunk *chunks, size_t nchunks)
{
	if (w->file < 0 || op->a >= nchunks || op->b > chunks[op->a].len || op->c > chunks[op->a].len - op->b ||
	    op->c > w->file_op.size - w->at) {
		errno = EINVAL;
		return -1;
	}
	const uint8_t *p = chunks[op->a].data + op->b;
	return w->file_op.size >= SPARSE_FROM ? write_sparse(w, p, op->c) : write_run(w, p, op->c);
}

static int copy_run(struct writer *w, int from, off_t at, off_t end)
{
	while (at < end) {
		off_t to = at;
		ssize_t n = copy_file_range(from, &at, w->file, &to, (size_t)(end - at), 0);
		if (n == 0) /* shorter than it was: the rest stays a hole */
			break;
		if (n > 0)
			continue;
		if (errno == EINTR)
			continue;
		if (errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
			return -1;
		cleanup_free char *buf = malloc(1 << 18);
		if (buf == NULL)
			return -1;
		for (w->at = (uint64_t)at; at < end; at = (off_t)w->at) {
			size_t want = end - at < 1 << 18 ? (size_t)(end - at) : 1 << 18;
			n = pread(from, buf, want, at);
			if (n < 0 && errno == EINTR)
				continue;
			if (n < 0)
				return -1;
			if (n == 0)
				break;
			if (write_run(w, (uint8_t *)buf, (size_t)n) < 0)
				return -1;
		}
		return 0;
	}
	return 0;
}

static int copy_file(struct writer *w, const struct op *op)
{
	int from = (int)op->a;
	off_t size = (off_t)w->file_op.size;
	if (w->file < 0 || w->at != 0) {
		errno = EINVAL;
		return -1;
	}
	for (off_t at = 0; at < size;) {
		off_t data = lseek(from, at, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			break;
		off_t hole = data < 0 ? -1 : lseek(from, data, SEEK_HOLE);
		if (data < 0 || hole < 0) { /* a file system that does not tell */
			data = at;
			hole = size;
		}
		if (copy_run(w, from, data, hole < size ? hole : size) < 0)
			return -1;
		at = hole;
	}
	w->at = (uint64_t)size;
	w->written = 0;
	return 0;
}

static int end_file(struct writer *w)
{
	struct op *op = &w->file_op;
	struct timespec t[2] = { timespec_of(op->mtime), timespec_of(op->mtime) };
	int fd = w->file;
	w->file = -1;
	if (fd < 0) {
		errno = EINVAL;
		return -1;
	}
	int status = 0;
	if (w->at != op->size) {
		errno = EINVAL;
		status = -1;
	}
	/* In this order: writing and a new owner take set-ID bits away. */
	if (status == 0 && ((w->written < op->size && ftruncate(fd, (off_t)op->size) < 0) || fchown(fd, op->uid, op->gid) < 0 ||
			    fchmod(fd, op->mode & 07777) < 0 || futimens(fd, t) < 0))
		status = -1;
	int code = errno;
	if (close(fd) < 0 && status == 0)
		return -1;
	errno = code;
	return status;
}

static int write_symlink(struct writer *w, struct op *op)
{
	char target[ADDON_PATH_MAX];
	const char *name;
	int dir = parent_of(w, op->path, &name);
	if (dir < 0)
		return -1;
	if (op->extra_len >= sizeof target) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(target, op->extra, op->extra_len);
	target[op->extra_len] = '\0';
	if (symlinkat(target, dir, name) < 0) {
		if (errno != EEXIST || make_way(w, op, &dir, &name, false) < 0 || symlinkat(target, dir, name) < 0)
			return -1;
	}
	return fchownat(dir, name, op->uid, op->gid, AT_SYMLINK_NOFOLLOW) < 0 ? -1 : set_times(dir, name, op->mtime);
}

/* Whether both names are one file already, which must not be removed to make way for itself. */
static bool same_file(int dir1, const char *name1, int dir2, const char *name2)
{
	struct stat a, b;
	return fstatat(dir1, name1, &a, AT_SYMLINK_NOFOLLOW) == 0 && fstatat(dir2, name2, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static int write_link(struct writer *w, struct op *op)
{
	char target[ADDON_PATH_MAX];
	const char *name, *old;
	if (op->extra_len >= sizeof target) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(target, op->extra, op->extra_len);
	target[op->extra_len] = '\0';
	/* A descriptor of its own: parent_of for the new name may replace a cached one. */
	int shared = parent_of(w, target, &old);
	cleanup_fd int from = shared < 0 ? -1 : fcntl(shared, F_DUPFD_CLOEXEC, 3);
	int dir = from < 0 ? -1 : parent_of(w, op->path, &name);
	if (dir < 0)
		return -1;
	if (linkat(from, old, dir, name, 0) == 0)
		return 0;
	if (errno != EEXIST)
		return -1;
	if (same_file(from, old, dir, name))
		return 0;
	return make_way(w, op, &dir, &name, false) < 0 ? -1 : linkat(from, old, dir, name, 0);
}

static int write_node(struct writer *w, struct op *op)
{
	const char *name;
	int dir = parent_of(w, op->path, &name);
	if (dir < 0)
		return -1;
	mode_t mode = (op->mode & S_IFMT) | 0600;
	dev_t dev = makedev(op->a, op->b);
	if (mknodat(dir, name, mode, dev) < 0) {
		if (errno != EEXIST || make_way(w, op, &dir, &name, false) < 0 || mknodat(dir, name, mode, dev) < 0)
			return -1;
	}
	if (fchownat(dir, name, op->uid, op->gid, AT_SYMLINK_NOFOLLOW) < 0 || set_mode(dir, name, op->mode) < 0)
		return -1;
	return set_times(dir, name, op->mtime);
}

/* What this layer itself has at the path stays; a directory of it then hides the lower one as a whole. */
static int write_whiteout(struct writer *w, struct op *op)
{
	const char *name;
	struct stat st;
	int dir = parent_of(w, op->path, &name);
	if (dir < 0)
		return -1;
	if (mknodat(dir, name, S_IFCHR, makedev(0, 0)) == 0)
		return 0;
	if (errno != EEXIST || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	return S_ISDIR(st.st_mode) ? set_opaque(dir, name) : 0;
}

static int write_xattr(struct writer *w, struct op *op)
{
	char path[ADDON_PATH_MAX], key[256];
	const char *name;
	int dir = op->path[0] == '\0' ? w->root : parent_of(w, op->path, &name);
	if (dir < 0)
		return -1;
	if (op->a >= sizeof key || op->a > op->extra_len) {
		errno = ERANGE;
		return -1;
	}
	memcpy(key, op->extra, op->a);
	key[op->a] = '\0';
	if (proc_path(path, sizeof path, dir, op->path[0] == '\0' ? "." : name) < 0)
		return -1;
	if (lsetxattr(path, key, op->extra + op->a, op->extra_len - op->a, 0) < 0 && errno != ENOTSUP)
		return -1;
	return 0;
}

static int remove_op(struct writer *w, struct op *op)
{
	const char *name;
	int dir = parent_of(w, op->path, &name);
	if (dir < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
	int fd = fcntl(dir, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return -1;
	forget_dirs(w);
	int status = remove_all(fd, name);
	int code = errno;
	close(fd);
	errno = code;
	return status;
}

static int times_op(struct writer *w, struct op *op)
{
	const char *name;
	if (op->path[0] == '\0')
		return set_times(w->root, ".", op->mtime);
	int dir = parent_of(w, op->path, &name);
	return dir < 0 ? -1 : set_times(dir, name, op->mtime);
}

static int opaque_op(struct writer *w, struct op *op)
{
	const char *name;
	if (op->path[0] == '\0')
		return set_opaque(w->root, ".");
	int dir = parent_of(w, op->path, &name);
	return dir < 0 ? -1 : set_opaque(dir, name);
}

static int run_op(struct writer *w, struct op *op, const struct chunk *chunks, size_t nchunks, const char **what)
{
	switch (op->kind) {
	case DIR_: *what = "mkdir"; return write_dir(w, op);
	case FILE_: *what = "open"; return begin_file(w, op);
	case DATA: *what = "write"; return write_data(w, op, chunks, nchunks);
	case END: *what = "close"; return end_file(w);
	case SYMLINK: *what = "symlink"; return write_symlink(w, op);
	case LINK: *what = "link"; return write_link(w, op);
	case NODE: *what = "mknod"; return write_node(w, op);
	case WHITEOUT: *what = "whiteout"; return write_whiteout(w, op);
	case OPAQUE: *what = "setxattr"; return opaque_op(w, op);
	case XATTR: *what = "setxattr"; return write_xattr(w, op);
	case TIMES: *what = "utimensat"; return times_op(w, op);
	case REMOVE: *what = "remove"; return remove_op(w, op);
	case COPY: *what = "copy_file_range"; return copy_file(w, op);
	default: *what = "treeWrite"; errno = EINVAL; return -1;
	}
}

/* Reads one operation; 0 at the end, -1 when it is malformed. */
static int next_op(const uint8_t **p, const uint8_t *end, struct op *op)
{
	if (*p == end)
		return 0;
	if (end - *p < HEAD)
		return -1;
	const uint8_t *h = *p;
	size_t path_len = get16(h + 2), extra_len = get32(h + 4);
	if ((size_t)(end - h) - HEAD < path_len || (size_t)(end - h) - HEAD - path_len < extra_len || path_len >= sizeof op->path)
		return -1;
	op->kind = h[0];
	op->flags = h[1];
	op->extra_len = (uint32_t)extra_len;
	op->mode = get32(h + 8);
	op->uid = get32(h + 12);
	op->gid = get32(h + 16);
	op->a = get32(h + 20);
	op->b = get32(h + 24);
	op->c = get32(h + 28);
	op->mtime = (int64_t)get64(h + 32);
	op->size = get64(h + 40);
	memcpy(op->path, h + HEAD, path_len);
	op->path[path_len] = '\0';
	op->extra = h + HEAD + path_len;
	*p = op->extra + extra_len;
	return 1;
}

int writer_run(struct writer *w, const uint8_t *ops, size_t len, const struct chunk *chunks, size_t nchunks, struct sys_error *error)
{
	const uint8_t *p = ops, *end = ops + len;
	struct op op;
	int more;
	while ((more = next_op(&p, end, &op)) > 0) {
		const char *what;
		if (run_op(w, &op, chunks, nchunks, &what) < 0)
			return sys_error_set(error, errno, what, op.path[0] != '\0' ? op.path : w->file_op.path);
	}
	return more < 0 ? sys_error_set(error, EINVAL, "treeWrite", NULL) : 0;
}

void writer_release(struct writer *w)
{
	forget_dirs(w);
	if (w->file >= 0)
		close(w->file);
	if (w->root >= 0)
		close(w->root);
	w->file = w->root = -1;
	w->closed = true;
}
