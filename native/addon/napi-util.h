#ifndef GANTRY_NAPI_UTIL_H
#define GANTRY_NAPI_UTIL_H

#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Helpers of the addon's modules. A function that answers false, or NULL for a value, has left an exception pending: the
 * caller returns NULL to JavaScript at once.
 */

#define ADDON_PATH_MAX 4096

/* What a failed system call was. `code` is an errno, 0 for none. */
struct sys_error {
	int code;
	const char *syscall;
	char path[ADDON_PATH_MAX];
};

/* Fills *e and answers -1. `path` may be NULL. */
int sys_error_set(struct sys_error *e, int code, const char *syscall, const char *path);

/* A Node-style error: message `ENOENT: no such file or directory, openat2 'path'`, with code, errno (negative), syscall, path. */
napi_value error_new(napi_env env, int code, const char *syscall, const char *path);
/* Throws it and answers NULL. */
napi_value error_throw(napi_env env, int code, const char *syscall, const char *path);
/* Throws a TypeError and answers NULL. */
napi_value type_error(napi_env env, const char *message);

/* The arguments of a call; a TypeError where there are fewer than `need`. */
bool args_get(napi_env env, napi_callback_info info, size_t need, napi_value *argv);
bool arg_i32(napi_env env, napi_value v, int32_t *out);
bool arg_u32(napi_env env, napi_value v, uint32_t *out);
bool arg_i64(napi_env env, napi_value v, int64_t *out);
/* A BigInt within 64 bits. */
bool arg_big(napi_env env, napi_value v, int64_t *out);
bool arg_bool(napi_env env, napi_value v, bool *out);
/* A string (as UTF-8) or the bytes of a Uint8Array, without NUL inside; the answer ends in NUL. ENAMETOOLONG beyond `cap`. */
bool arg_str(napi_env env, napi_value v, char *buf, size_t cap);
/* As arg_str, in memory to be freed. */
char *arg_str_dup(napi_env env, napi_value v);
/* The bytes of a Uint8Array, valid while it is referenced. */
bool arg_bytes(napi_env env, napi_value v, uint8_t **data, size_t *len);

napi_value value_undefined(napi_env env);
napi_value value_i32(napi_env env, int32_t v);
bool set_named(napi_env env, napi_value object, const char *name, napi_value value);

/* Adds functions to exports. */
struct fn {
	const char *name;
	napi_callback call;
};
napi_value export_fns(napi_env env, napi_value exports, const struct fn *fns, size_t n);

/*
 * Work on libuv's pool that answers a promise. Embed as the first member; `run` is called on the pool and answers 0, or -1
 * with `error` filled; `done` (may be NULL: undefined) makes the value on the main thread; `clean` frees what the job holds
 * and the job itself.
 */
struct job {
	napi_async_work work;
	napi_deferred deferred;
	struct sys_error error;
	int (*run)(struct job *job);
	napi_value (*done)(napi_env env, struct job *job);
	void (*clean)(napi_env env, struct job *job);
	int status;
};

/* Queues the job and answers its promise. From here on the job owns itself. */
napi_value job_start(napi_env env, struct job *job, const char *name);

/* Clean-up attributes. */
void free_ptr(void *p);
void close_fd(int *fd);
#define cleanup_free __attribute__((cleanup(free_ptr)))
#define cleanup_fd __attribute__((cleanup(close_fd)))

#endif
