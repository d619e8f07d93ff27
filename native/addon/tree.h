#ifndef GANTRY_TREE_H
#define GANTRY_TREE_H

#include <node_api.h>
#include <stdint.h>

#include "napi-util.h"

/*
 * Whole trees of files, many entries a call, on libuv's pool: a writer that is given operations, a reader that gives entries,
 * and removal. Paths are relative to a root descriptor and never leave it: the kernel resolves them (openat2). Names are bytes.
 * The records' formats stand in tree-writer.c and tree-read.c; their other side is libs/snapshots/src/tree-*.ts.
 */

/* treeWriter(rootFd): External; treeWrite(writer, ops, chunks): Promise<void>; treeWriterClose(writer). */
napi_value tree_writer(napi_env env, napi_callback_info info);
napi_value tree_write(napi_env env, napi_callback_info info);
napi_value tree_writer_close(napi_env env, napi_callback_info info);

/* treeReader(rootFd, inlineMax, xattrs, only): External; treeRead(reader, buffer): Promise<number>; treeReaderClose(reader). */
napi_value tree_reader(napi_env env, napi_callback_info info);
napi_value tree_read(napi_env env, napi_callback_info info);
napi_value tree_reader_close(napi_env env, napi_callback_info info);

/* removeTree(dirFd, name): Promise<void>. */
napi_value tree_remove(napi_env env, napi_callback_info info);

/* openat2 with close-on-exec and without magic links; retries EAGAIN. Answers a descriptor, or -1 with errno. */
int open_beneath(int root, const char *path, uint64_t flags, uint64_t resolve);

/*
 * Removes `name` beneath `dir` and all that is in it, never through a link nor into another file system. 0 when it is gone,
 * also when it was not there; else -1 with errno.
 */
int remove_all(int dir, const char *name);

static inline uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) | (uint32_t)get16(p + 2) << 16;
}

static inline uint64_t get64(const uint8_t *p)
{
	return (uint64_t)get32(p) | (uint64_t)get32(p + 4) << 32;
}

static inline void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static inline void put32(uint8_t *p, uint32_t v)
{
	put16(p, (uint16_t)v);
	put16(p + 2, (uint16_t)(v >> 16));
}

static inline void put64(uint8_t *p, uint64_t v)
{
	put32(p, (uint32_t)v);
	put32(p + 4, (uint32_t)(v >> 32));
}

#endif
