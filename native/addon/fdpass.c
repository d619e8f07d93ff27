/*
 * Descriptors from another process: asks a unix socket with one frame (native/src/wire.h) and takes the answer with what came by
 * SCM_RIGHTS. On libuv's pool, for the other side may take its time.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "../src/io.h"
#include "napi-util.h"

#define MAX_FDS 8
#define MAX_REPLY 65536

napi_value init_fdpass(napi_env env, napi_value exports);

struct request_job {
	struct job job;
	char path[ADDON_PATH_MAX];
	uint8_t *request;
	size_t request_len;
	int fds[MAX_FDS];
	size_t n_fds, max;
	uint8_t *reply;
	size_t reply_len;
};

/* Splits off the last component, so that the directory may be as long as it likes. */
static int connect_path(struct request_job *r)
{
	char dir[ADDON_PATH_MAX];
	const char *slash = strrchr(r->path, '/');
	size_t len = slash == NULL ? 1 : (size_t)(slash - r->path) + 1;
	memcpy(dir, slash == NULL ? "." : r->path, len);
	dir[len] = '\0';
	cleanup_fd int dirfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return sys_error_set(&r->job.error, errno, "open", dir);
	struct err err = { 0 };
	int fd = io_unix_connect_at(dirfd, slash == NULL ? r->path : slash + 1, &err);
	return fd < 0 ? sys_error_set(&r->job.error, err.code, "connect", r->path) : fd;
}

static int receive(struct request_job *r, int sock)
{
	struct err err = { 0 };
	for (size_t want = 5; r->reply_len < want;) {
		int fds[MAX_FDS];
		size_t n = MAX_FDS - r->n_fds;
		ssize_t got = io_recv_fds(sock, r->reply + r->reply_len, want - r->reply_len, fds, &n, 0, &err);
		if (got <= 0)
			return sys_error_set(&r->job.error, got < 0 ? err.code : ECONNRESET, "recvmsg", r->path);
		for (size_t i = 0; i < n; i++)
			r->fds[r->n_fds++] = fds[i];
		r->reply_len += (size_t)got;
		if (r->reply_len < 5)
			continue;
		uint32_t len = r->reply[0] | r->reply[1] << 8 | r->reply[2] << 16 | (uint32_t)r->reply[3] << 24;
		if (len == 0 || len > MAX_REPLY - 4)
			return sys_error_set(&r->job.error, EBADMSG, "recvmsg", r->path);
		want = 4 + (size_t)len;
	}
	return 0;
}

static int run(struct job *job)
{
	struct request_job *r = (struct request_job *)job;
	struct timeval limit = { .tv_sec = 10 };
	struct err err = { 0 };
	cleanup_fd int sock = connect_path(r);
	if (sock < 0)
		return -1;
	setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	if (io_write_full(sock, r->request, r->request_len, &err) < 0)
		return sys_error_set(&job->error, err.code, "send", r->path);
	r->reply = malloc(MAX_REPLY);
	if (r->reply == NULL)
		return sys_error_set(&job->error, ENOMEM, "malloc", NULL);
	return receive(r, sock);
}

static napi_value done(napi_env env, struct job *job)
{
	struct request_job *r = (struct request_job *)job;
	napi_value out, reply, fds;
	void *copy;
	if (napi_create_object(env, &out) != napi_ok || napi_create_buffer_copy(env, r->reply_len, r->reply, &copy, &reply) != napi_ok ||
	    napi_create_array(env, &fds) != napi_ok || !set_named(env, out, "reply", reply) || !set_named(env, out, "fds", fds))
		return NULL;
	size_t n = r->n_fds < r->max ? r->n_fds : r->max;
	for (size_t i = 0; i < n; i++) {
		napi_value v = value_i32(env, r->fds[i]);
		if (v == NULL || napi_set_element(env, fds, (uint32_t)i, v) != napi_ok)
			return NULL;
	}
	/* From here on they are the caller's. */
	for (size_t i = 0; i < n; i++)
		r->fds[i] = -1;
	return out;
}

static void clean(napi_env env, struct job *job)
{
	(void)env;
	struct request_job *r = (struct request_job *)job;
	for (size_t i = 0; i < r->n_fds; i++)
		if (r->fds[i] >= 0)
			close(r->fds[i]);
	free(r->request);
	free(r->reply);
	free(r);
}

/* requestFds(socket, request, max): Promise<{ reply, fds }> */
static napi_value request_fds(napi_env env, napi_callback_info info)
{
	napi_value argv[3];
	uint8_t *data;
	size_t len;
	uint32_t max;
	if (!args_get(env, info, 3, argv))
		return NULL;
	struct request_job *r = calloc(1, sizeof *r);
	if (r == NULL)
		return error_throw(env, ENOMEM, "malloc", NULL);
	if (!arg_str(env, argv[0], r->path, sizeof r->path) || !arg_bytes(env, argv[1], &data, &len) || !arg_u32(env, argv[2], &max)) {
		free(r);
		return NULL;
	}
	r->request = malloc(len + 1);
	if (r->request == NULL) {
		free(r);
		return error_throw(env, ENOMEM, "malloc", NULL);
	}
	memcpy(r->request, data, len);
	r->request_len = len;
	r->max = max < MAX_FDS ? max : MAX_FDS;
	r->job.run = run;
	r->job.done = done;
	r->job.clean = clean;
	return job_start(env, &r->job, "gantry.requestFds");
}

napi_value init_fdpass(napi_env env, napi_value exports)
{
	static const struct fn FNS[] = { { "requestFds", request_fds } };
	return export_fns(env, exports, FNS, sizeof FNS / sizeof *FNS);
}
