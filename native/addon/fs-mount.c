/* Overlay mounts where this process can see them. The options are those of src/overlay.c. */
#include "fs-mount.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "../src/overlay.h"
#include "napi-util.h"

/* The kernel's OVL_MAX_STACK. */
#define LOWERS_MAX 500

struct mount_job {
	struct job job;
	struct overlay overlay;
	char *base, *upper, *work, *target;
	char **lowers;
	size_t nlowers;
	bool old_api; /* by mount(2) even where the new API would do: for tests */
	struct err err;
};

static napi_value get(napi_env env, napi_value object, const char *name)
{
	napi_value v = NULL;
	return napi_get_named_property(env, object, name, &v) == napi_ok ? v : NULL;
}

/* mount(2) with relative paths needs a working directory: a thread of its own leaves the one that the others share. */
static void *mount_in_base(void *data)
{
	struct mount_job *m = data;
	m->job.status = -1;
	if (unshare(CLONE_FS) < 0)
		err_set(&m->err, errno, "unshare: %s", strerror(errno));
	else if (chdir(m->base) < 0)
		err_set(&m->err, errno, "chdir %s: %s", m->base, strerror(errno));
	else
		m->job.status = overlay_mount_here(&m->overlay, m->target, MS_NODEV | MS_NOSUID, &m->err);
	return NULL;
}

static int mount_old(struct mount_job *m)
{
	pthread_t thread;
	int code = pthread_create(&thread, NULL, mount_in_base, m);
	if (code != 0)
		return err_set(&m->err, code, "pthread_create: %s", strerror(code));
	pthread_join(thread, NULL);
	return m->job.status;
}

static int mount_run(struct job *job)
{
	struct mount_job *m = (struct mount_job *)job;
	int status = -1;
	if (m->old_api) {
		status = mount_old(m);
	} else {
		cleanup_fd int fd = overlay_fsmount(&m->overlay, MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID, &m->err);
		if (fd >= 0) {
			status = move_mount(fd, "", AT_FDCWD, m->target, MOVE_MOUNT_F_EMPTY_PATH);
			if (status < 0)
				err_set(&m->err, errno, "move_mount to %s: %s", m->target, strerror(errno));
		} else if (overlay_needs_old_api(&m->err)) {
			status = mount_old(m);
		}
	}
	return status == 0 ? 0 : sys_error_set(&job->error, m->err.code, m->err.msg, m->target);
}

static void mount_clean(napi_env env, struct job *job)
{
	(void)env;
	struct mount_job *m = (struct mount_job *)job;
	for (size_t i = 0; i < m->nlowers; i++)
		free(m->lowers[i]);
	free(m->lowers);
	free(m->base);
	free(m->upper);
	free(m->work);
	free(m->target);
	free(m);
}

/* A string, or null: *out stays NULL. */
static bool get_optional(napi_env env, napi_value object, const char *name, char **out)
{
	napi_value v = get(env, object, name);
	napi_valuetype type;
	if (v == NULL || napi_typeof(env, v, &type) != napi_ok)
		return type_error(env, name) != NULL;
	if (type == napi_null || type == napi_undefined)
		return true;
	return (*out = arg_str_dup(env, v)) != NULL;
}

static bool read_lowers(napi_env env, napi_value array, struct mount_job *m)
{
	uint32_t n = 0;
	if (array == NULL || napi_get_array_length(env, array, &n) != napi_ok || n == 0 || n > LOWERS_MAX)
		return type_error(env, "lowers: 1 to 500 paths") != NULL;
	m->lowers = calloc(n, sizeof *m->lowers);
	if (m->lowers == NULL)
		return error_throw(env, ENOMEM, "malloc", NULL) != NULL;
	for (uint32_t i = 0; i < n; i++) {
		napi_value v = NULL;
		if (napi_get_element(env, array, i, &v) != napi_ok || (m->lowers[i] = arg_str_dup(env, v)) == NULL)
			return false;
		m->nlowers++;
	}
	return true;
}

static bool read_rootfs(napi_env env, napi_value rootfs, struct mount_job *m)
{
	napi_value is_volatile = get(env, rootfs, "volatile"), old_api = get(env, rootfs, "oldApi");
	if (!get_optional(env, rootfs, "base", &m->base) || !get_optional(env, rootfs, "upper", &m->upper) ||
	    !get_optional(env, rootfs, "work", &m->work) || !read_lowers(env, get(env, rootfs, "lowers"), m))
		return false;
	if (m->base == NULL || is_volatile == NULL || (m->upper == NULL) != (m->work == NULL))
		return type_error(env, "base, volatile, and upper with work") != NULL;
	napi_get_value_bool(env, old_api, &m->old_api);
	m->overlay = (struct overlay){
		.base = m->base, .lowers = (const char *const *)m->lowers, .nlowers = m->nlowers, .upper = m->upper, .work = m->work,
	};
	return arg_bool(env, is_volatile, &m->overlay.is_volatile);
}

napi_value fs_mount_overlay(napi_env env, napi_callback_info info)
{
	napi_value a[2];
	if (!args_get(env, info, 2, a))
		return NULL;
	struct mount_job *m = calloc(1, sizeof *m);
	if (m == NULL)
		return error_throw(env, ENOMEM, "malloc", NULL);
	m->job.run = mount_run;
	m->job.clean = mount_clean;
	if (!read_rootfs(env, a[0], m) || (m->target = arg_str_dup(env, a[1])) == NULL) {
		mount_clean(env, &m->job);
		return NULL;
	}
	return job_start(env, &m->job, "mountOverlay");
}

struct unmount_job {
	struct job job;
	char *target;
	bool detach;
};

static int unmount_run(struct job *job)
{
	struct unmount_job *u = (struct unmount_job *)job;
	int flags = UMOUNT_NOFOLLOW | (u->detach ? MNT_DETACH : 0);
	return umount2(u->target, flags) < 0 ? sys_error_set(&job->error, errno, "umount2", u->target) : 0;
}

static void unmount_clean(napi_env env, struct job *job)
{
	(void)env;
	free(((struct unmount_job *)job)->target);
	free(job);
}

napi_value fs_unmount(napi_env env, napi_callback_info info)
{
	napi_value a[2];
	bool detach;
	if (!args_get(env, info, 2, a) || !arg_bool(env, a[1], &detach))
		return NULL;
	struct unmount_job *u = calloc(1, sizeof *u);
	if (u == NULL)
		return error_throw(env, ENOMEM, "malloc", NULL);
	u->job.run = unmount_run;
	u->job.clean = unmount_clean;
	u->detach = detach;
	if ((u->target = arg_str_dup(env, a[0])) == NULL) {
		unmount_clean(env, &u->job);
		return NULL;
	}
	return job_start(env, &u->job, "unmount");
}
