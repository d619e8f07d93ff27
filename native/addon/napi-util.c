#include "napi-util.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void free_ptr(void *p)
{
	free(*(void **)p);
}

void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

int sys_error_set(struct sys_error *e, int code, const char *syscall, const char *path)
{
	e->code = code;
	e->syscall = syscall;
	e->path[0] = '\0';
	if (path != NULL)
		snprintf(e->path, sizeof e->path, "%s", path);
	return -1;
}

bool set_named(napi_env env, napi_value object, const char *name, napi_value value)
{
	return value != NULL && napi_set_named_property(env, object, name, value) == napi_ok;
}

static napi_value value_str(napi_env env, const char *s)
{
	napi_value v = NULL;
	napi_create_string_utf8(env, s, NAPI_AUTO_LENGTH, &v);
	return v;
}

napi_value value_i32(napi_env env, int32_t i)
{
	napi_value v = NULL;
	napi_create_int32(env, i, &v);
	return v;
}

napi_value value_undefined(napi_env env)
{
	napi_value v = NULL;
	napi_get_undefined(env, &v);
	return v;
}

napi_value error_new(napi_env env, int code, const char *syscall, const char *path)
{
	const char *name = strerrorname_np(code);
	if (code == ENOTSUP)
		name = "ENOTSUP";
	char what[128];
	const char *text = strerror_r(code, what, sizeof what);
	char message[ADDON_PATH_MAX + 256];
	if (path != NULL && path[0] != '\0')
		snprintf(message, sizeof message, "%s: %s, %s '%s'", name ? name : "UNKNOWN", text, syscall, path);
	else
		snprintf(message, sizeof message, "%s: %s, %s", name ? name : "UNKNOWN", text, syscall);
	napi_value error = NULL;
	napi_value code_value = value_str(env, name ? name : "UNKNOWN");
	if (napi_create_error(env, code_value, value_str(env, message), &error) != napi_ok)
		return NULL;
	set_named(env, error, "errno", value_i32(env, -code));
	set_named(env, error, "syscall", value_str(env, syscall));
	if (path != NULL && path[0] != '\0')
		set_named(env, error, "path", value_str(env, path));
	return error;
}

napi_value error_throw(napi_env env, int code, const char *syscall, const char *path)
{
	napi_value error = error_new(env, code, syscall, path);
	if (error != NULL)
		napi_throw(env, error);
	return NULL;
}

napi_value type_error(napi_env env, const char *message)
{
	napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message);
	return NULL;
}

bool args_get(napi_env env, napi_callback_info info, size_t need, napi_value *argv)
{
	size_t n = need;
	if (napi_get_cb_info(env, info, &n, argv, NULL, NULL) != napi_ok || n < need)
		return type_error(env, "too few arguments") != NULL;
	return true;
}

bool arg_i32(napi_env env, napi_value v, int32_t *out)
{
	return napi_get_value_int32(env, v, out) == napi_ok || type_error(env, "expected an integer") != NULL;
}

bool arg_u32(napi_env env, napi_value v, uint32_t *out)
{
	return napi_get_value_uint32(env, v, out) == napi_ok || type_error(env, "expected an unsigned integer") != NULL;
}

bool arg_i64(napi_env env, napi_value v, int64_t *out)
{
	return napi_get_value_int64(env, v, out) == napi_ok || type_error(env, "expected an integer") != NULL;
}

bool arg_big(napi_env env, napi_value v, int64_t *out)
{
	bool lossless = false;
	if (napi_get_value_bigint_int64(env, v, out, &lossless) != napi_ok || !lossless)
		return type_error(env, "expected a BigInt of 64 bits") != NULL;
	return true;
}

bool arg_bool(napi_env env, napi_value v, bool *out)
{
	return napi_get_value_bool(env, v, out) == napi_ok || type_error(env, "expected a boolean") != NULL;
}

bool arg_bytes(napi_env env, napi_value v, uint8_t **data, size_t *len)
{
	bool is = false;
	if (napi_is_buffer(env, v, &is) != napi_ok || !is)
		return type_error(env, "expected bytes") != NULL;
	return napi_get_buffer_info(env, v, (void **)data, len) == napi_ok || type_error(env, "expected bytes") != NULL;
}

bool arg_str(napi_env env, napi_value v, char *buf, size_t cap)
{
	napi_valuetype type;
	size_t len = 0;
	if (napi_typeof(env, v, &type) != napi_ok)
		return type_error(env, "expected a string") != NULL;
	if (type == napi_string) {
		if (napi_get_value_string_utf8(env, v, NULL, 0, &len) != napi_ok)
			return type_error(env, "expected a string") != NULL;
		if (len >= cap)
			return error_throw(env, ENAMETOOLONG, "path", NULL) != NULL;
		napi_get_value_string_utf8(env, v, buf, cap, &len);
	} else {
		uint8_t *data;
		if (!arg_bytes(env, v, &data, &len))
			return false;
		if (len >= cap)
			return error_throw(env, ENAMETOOLONG, "path", NULL) != NULL;
		if (len > 0)
			memcpy(buf, data, len);
		buf[len] = '\0';
	}
	if (memchr(buf, '\0', len) != NULL)
		return error_throw(env, EINVAL, "path", NULL) != NULL;
	return true;
}

char *arg_str_dup(napi_env env, napi_value v)
{
	char buf[ADDON_PATH_MAX];
	if (!arg_str(env, v, buf, sizeof buf))
		return NULL;
	char *copy = strdup(buf);
	if (copy == NULL)
		error_throw(env, ENOMEM, "malloc", NULL);
	return copy;
}

napi_value export_fns(napi_env env, napi_value exports, const struct fn *fns, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		napi_value f = NULL;
		if (napi_create_function(env, fns[i].name, NAPI_AUTO_LENGTH, fns[i].call, NULL, &f) != napi_ok)
			return NULL;
		if (!set_named(env, exports, fns[i].name, f))
			return NULL;
	}
	return exports;
}

static void job_execute(napi_env env, void *data)
{
	(void)env;
	struct job *job = data;
	job->status = job->run(job);
}

static void job_complete(napi_env env, napi_status status, void *data)
{
	struct job *job = data;
	napi_value value = NULL;
	if (status == napi_ok && job->status == 0)
		value = job->done ? job->done(env, job) : value_undefined(env);
	if (value != NULL) {
		napi_resolve_deferred(env, job->deferred, value);
	} else {
		bool pending = false;
		napi_is_exception_pending(env, &pending);
		if (pending)
			napi_get_and_clear_last_exception(env, &value);
		else
			value = error_new(env, status == napi_cancelled ? ECANCELED : job->error.code,
					  job->error.syscall ? job->error.syscall : "job", job->error.path);
		napi_reject_deferred(env, job->deferred, value);
	}
	napi_delete_async_work(env, job->work);
	job->clean(env, job);
}

napi_value job_start(napi_env env, struct job *job, const char *name)
{
	napi_value promise = NULL, label = value_str(env, name);
	job->error.code = EIO;
	if (napi_create_promise(env, &job->deferred, &promise) != napi_ok) {
		job->clean(env, job);
		return NULL;
	}
	if (napi_create_async_work(env, NULL, label, job_execute, job_complete, job, &job->work) != napi_ok) {
		napi_reject_deferred(env, job->deferred, error_new(env, ENOMEM, name, NULL));
		job->clean(env, job);
		return promise;
	}
	if (napi_queue_async_work(env, job->work) != napi_ok) {
		napi_reject_deferred(env, job->deferred, error_new(env, EAGAIN, name, NULL));
		napi_delete_async_work(env, job->work);
		job->clean(env, job);
	}
	return promise;
}
