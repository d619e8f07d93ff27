#ifndef GANTRY_TREE_WRITER_H
#define GANTRY_TREE_WRITER_H

#include "tree.h"

/* The state of a tree writer; the operations stand in tree-writer.c. */
#define CACHE 64

struct op {
	uint8_t kind, flags;
	char path[ADDON_PATH_MAX];
	const uint8_t *extra;
	uint32_t extra_len, mode, uid, gid, a, b, c;
	int64_t mtime;
	uint64_t size;
};

struct chunk {
	uint8_t *data;
	size_t len;
};

struct dir_slot {
	char *path;
	int fd;
};

#define WRITER_MAGIC 0x67797772u

struct writer {
	uint32_t magic;
	int root;
	bool busy, closed;
	struct dir_slot cache[CACHE];
	int file; /* -1: none */
	struct op file_op;
	uint64_t at;      /* offset in the file */
	uint64_t written; /* end of the last byte written */
};

/* Runs operations in order; -1 with *error filled at the first that fails. */
int writer_run(struct writer *w, const uint8_t *ops, size_t len, const struct chunk *chunks, size_t nchunks, struct sys_error *error);
/* Closes all that it holds. */
void writer_release(struct writer *w);

#endif
