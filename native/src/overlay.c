#include "overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

/* The kernel copies at most this much of a string parameter, NUL included. */
#define FSCONFIG_STRING_MAX 256
#define OPTIONS_MAX 4096
#define OLD_API "lowerdir+ is not known"

/* No UUID: keeping one would write an attribute to every upper. Which kernel does not know an option has not its feature. */
static const struct {
	const char *key, *value;
} options_off[] = {
	{ "index", "off" }, { "metacopy", "off" }, { "redirect_dir", "off" }, { "xino", "off" }, { "uuid", "null" },
};

bool overlay_needs_old_api(const struct err *err)
{
	return strcmp(err->msg, OLD_API) == 0;
}

/* The kernel's own words about the last failure, if it left any in the context. */
static int fs_error(int fs, int code, const char *what, struct err *err)
{
	char log[256];
	ssize_t n = read(fs, log, sizeof log - 1);
	if (n <= 0)
		return err_set(err, code, "%s: %s", what, strerror(code));
	log[n] = '\0';
	log[strcspn(log, "\n")] = '\0';
	return err_set(err, code, "%s: %s: %s", what, strerror(code), log);
}

/* A path parameter: absolute, or by the descriptor of base where that would not fit a parameter. */
static int set_path(int fs, const struct overlay *o, int base, const char *key, const char *path, struct err *err)
{
	char full[FSCONFIG_STRING_MAX];
	int n = snprintf(full, sizeof full, "%s/%s", o->base, path);
	if (n >= (int)sizeof full)
		n = snprintf(full, sizeof full, "/proc/self/fd/%d/%s", base, path);
	if (n >= (int)sizeof full)
		return err_set(err, ENAMETOOLONG, "overlay %s %s: path too long", key, path);
	if (fsconfig(fs, FSCONFIG_SET_STRING, key, full, 0) < 0) {
		char what[300];
		snprintf(what, sizeof what, "overlay %s=%s", key, full);
		return fs_error(fs, errno, what, err);
	}
	return 0;
}

static int configure(int fs, const struct overlay *o, int base, struct err *err)
{
	/* A kernel without lowerdir+ says so before it looks at the path; one with it takes "/" for a path like any other. */
	for (size_t i = 0; i < o->nlowers; i++) {
		if (set_path(fs, o, base, "lowerdir+", o->lowers[i], err) == 0)
			continue;
		if (i == 0 && err != NULL && err->code == EINVAL && strstr(err->msg, "Unknown parameter") != NULL)
			err_set(err, ENOSYS, OLD_API);
		return -1;
	}
	if (o->upper != NULL &&
	    (set_path(fs, o, base, "upperdir", o->upper, err) < 0 || set_path(fs, o, base, "workdir", o->work, err) < 0))
		return -1;
	for (size_t i = 0; i < sizeof options_off / sizeof *options_off; i++)
		if (fsconfig(fs, FSCONFIG_SET_STRING, options_off[i].key, options_off[i].value, 0) < 0 && errno != EINVAL)
			return fs_error(fs, errno, options_off[i].key, err);
	if (o->is_volatile && o->upper != NULL && fsconfig(fs, FSCONFIG_SET_FLAG, "volatile", NULL, 0) < 0 && errno != EINVAL)
		return fs_error(fs, errno, "overlay volatile", err);
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return fs_error(fs, errno, "mount overlay", err);
	return 0;
}

int overlay_fsmount(const struct overlay *o, unsigned attr, struct err *err)
{
	int fs = fsopen("overlay", FSOPEN_CLOEXEC);
	if (fs < 0 && errno == ENOSYS)
		return err_set(err, ENOSYS, OLD_API);
	if (fs < 0)
		return err_set(err, errno, "fsopen overlay: %s", strerror(errno));
	int base = open(o->base, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int mount = -1;
	if (base < 0) {
		err_set(err, errno, "open %s: %s", o->base, strerror(errno));
	} else if (configure(fs, o, base, err) == 0) {
		mount = fsmount(fs, FSMOUNT_CLOEXEC, attr);
		if (mount < 0)
			err_set(err, errno, "fsmount overlay: %s", strerror(errno));
	}
	if (base >= 0)
		close(base);
	close(fs);
	return mount;
}

static int append(char *buf, size_t *len, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static int append(char *buf, size_t *len, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	int n = vsnprintf(buf + *len, OPTIONS_MAX - *len, fmt, args);
	va_end(args);
	if (n < 0 || (size_t)n >= OPTIONS_MAX - *len)
		return -1;
	*len += (size_t)n;
	return 0;
}

int overlay_mount_here(const struct overlay *o, const char *target, unsigned long flags, struct err *err)
{
	char options[OPTIONS_MAX];
	size_t len = 0;
	int n = append(options, &len, "index=off,metacopy=off,redirect_dir=off,xino=off%s,lowerdir=",
		       o->is_volatile && o->upper != NULL ? ",volatile" : "");
	for (size_t i = 0; n == 0 && i < o->nlowers; i++)
		n = append(options, &len, "%s%s", i > 0 ? ":" : "", o->lowers[i]);
	if (n == 0 && o->upper != NULL)
		n = append(options, &len, ",upperdir=%s,workdir=%s", o->upper, o->work);
	if (n != 0)
		return err_set(err, E2BIG, "mount overlay: %zu layers do not fit the options of this kernel (6.5 and later have room)",
			       o->nlowers);
	if (mount("overlay", target, "overlay", flags, options) < 0)
		return err_set(err, errno, "mount overlay at %s: %s", target, strerror(errno));
	return 0;
}
