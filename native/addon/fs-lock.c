/*
 * Advisory locks. A lock that is free is taken at once, in the caller's thread. Waiting has a thread of its own, never one of
 * libuv's four: whoever holds the lock may need those to get done.
 */
#include "fs-lock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "napi-util.h"

struct waiter {
	napi_threadsafe_function answer;
	napi_deferred deferred;
	int fd; /* a duplicate: same lock, own life */
	int operation;
	int code;
};

static void *wait_lock(void *data)
{
	struct waiter *w = data;
	int n;
	while ((n = flock(w->fd, w->operation)) < 0 && errno == EINTR)
		;
	w->code = n < 0 ? errno : 0;
	close(w->fd);
	napi_call_threadsafe_function(w->answer, w, napi_tsfn_blocking);
	return NULL;
}

/* On the main thread; env is NULL when Node is shutting down. */
static void answer_lock(napi_env env, napi_value callback, void *context, void *data)
{
	(void)callback;
	(void)context;
	struct waiter *w = data;
	if (env != NULL) {
		if (w->code == 0)
			napi_resolve_deferred(env, w->deferred, value_undefined(env));
		else
			napi_reject_deferred(env, w->deferred, error_new(env, w->code, "flock", NULL));
	}
	napi_release_threadsafe_function(w->answer, napi_tsfn_release);
	free(w);
}

static int start_waiter(napi_env env, struct waiter *w)
{
	napi_value label = NULL;
	napi_create_string_utf8(env, "flock", NAPI_AUTO_LENGTH, &label);
	if (napi_create_threadsafe_function(env, NULL, NULL, label, 1, 1, NULL, NULL, NULL, answer_lock, &w->answer) != napi_ok)
		return ENOMEM;
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 65536);
	pthread_t thread;
	int code = pthread_create(&thread, &attr, wait_lock, w);
	pthread_attr_destroy(&attr);
	if (code != 0)
		napi_release_threadsafe_function(w->answer, napi_tsfn_release);
	return code;
}

napi_value fs_flock(napi_env env, napi_callback_info info)
{
	napi_value a[2], promise = NULL;
	int32_t fd;
	bool exclusive;
	if (!args_get(env, info, 2, a) || !arg_i32(env, a[0], &fd) || !arg_bool(env, a[1], &exclusive))
		return NULL;
	napi_deferred deferred;
	if (napi_create_promise(env, &deferred, &promise) != napi_ok)
		return NULL;
	int operation = exclusive ? LOCK_EX : LOCK_SH;
	int code = flock(fd, operation | LOCK_NB) < 0 ? errno : 0;
	if (code == EWOULDBLOCK) {
		struct waiter *w = calloc(1, sizeof *w);
		code = w == NULL ? ENOMEM : 0;
		if (w != NULL) {
			w->deferred = deferred;
			w->operation = operation;
			w->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
			code = w->fd < 0 ? errno : start_waiter(env, w);
			if (code == 0)
				return promise;
			if (w->fd >= 0)
				close(w->fd);
			free(w);
		}
	}
	if (code == 0)
		napi_resolve_deferred(env, deferred, value_undefined(env));
	else
		napi_reject_deferred(env, deferred, error_new(env, code, "flock", NULL));
	return promise;
}
