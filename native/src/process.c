#include "process.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "caps.h"
#include "io.h"
#include "mounts.h"

const char *process_strerror(int code)
{
	static char text[128];
	snprintf(text, sizeof text, "%s", strerror(code));
	text[0] = (char)tolower((unsigned char)text[0]);
	return text;
}

int rlimits_set(const struct rlimit_spec *limits, uint32_t n, struct err *err)
{
	static const struct { const char *name; int resource; } TYPES[] = {
		{ "as", RLIMIT_AS }, { "core", RLIMIT_CORE }, { "cpu", RLIMIT_CPU }, { "data", RLIMIT_DATA }, { "fsize", RLIMIT_FSIZE },
		{ "locks", RLIMIT_LOCKS }, { "memlock", RLIMIT_MEMLOCK }, { "msgqueue", RLIMIT_MSGQUEUE }, { "nice", RLIMIT_NICE },
		{ "nofile", RLIMIT_NOFILE }, { "nproc", RLIMIT_NPROC }, { "rss", RLIMIT_RSS }, { "rtprio", RLIMIT_RTPRIO },
		{ "rttime", RLIMIT_RTTIME }, { "sigpending", RLIMIT_SIGPENDING }, { "stack", RLIMIT_STACK },
	};
	for (uint32_t i = 0; i < n; i++) {
		const char *name = limits[i].type;
		if (strncasecmp(name, "RLIMIT_", 7) == 0)
			name += 7;
		int resource = -1;
		for (size_t j = 0; j < sizeof TYPES / sizeof *TYPES; j++)
			if (strcasecmp(name, TYPES[j].name) == 0)
				resource = TYPES[j].resource;
		if (resource < 0)
			return err_set(err, EINVAL, "invalid ulimit type: %s", limits[i].type);
		struct rlimit limit = {
			.rlim_cur = limits[i].soft < 0 ? RLIM_INFINITY : (rlim_t)limits[i].soft,
			.rlim_max = limits[i].hard < 0 ? RLIM_INFINITY : (rlim_t)limits[i].hard,
		};
		if (setrlimit(resource, &limit) < 0)
			return err_set(err, errno, "error setting rlimit type %s: %s", name, process_strerror(errno));
	}
	return 0;
}

int sysctls_set(int root, const struct spec *spec, struct err *err)
{
	for (uint32_t i = 0; i < spec->n_sysctls; i++) {
		char path[512];
		if (snprintf(path, sizeof path, "/proc/sys/%s", spec->sysctls[i].name) >= (int)sizeof path)
			return err_set(err, ENAMETOOLONG, "sysctl name is too long");
		/* Dots part the name, unless it has slashes already (net/ipv4/conf/eth0.1/…). */
		if (strchr(spec->sysctls[i].name, '/') == NULL)
			for (char *at = path + strlen("/proc/sys/"); *at != '\0'; at++)
				if (*at == '.')
					*at = '/';
		if (strstr(path, "..") != NULL)
			return err_set(err, EINVAL, "invalid sysctl %s", spec->sysctls[i].name);
		autoclose fd = root_open(root, path, 0, err);
		char self[32];
		if (fd < 0)
			return -1;
		snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
		if (io_write_file_at(AT_FDCWD, self, spec->sysctls[i].value, err) < 0)
			return err_set(err, errno, "error setting sysctl %s: %s", spec->sysctls[i].name, process_strerror(errno));
	}
	return 0;
}

static const char *env_get(const struct strs *env, const char *name)
{
	size_t len = strlen(name);
	for (uint32_t i = 0; i < env->n; i++)
		if (strncmp(env->v[i], name, len) == 0 && env->v[i][len] == '=')
			return env->v[i] + len + 1;
	return NULL;
}

int process_home(struct strs *env, const struct user *who, struct err *err)
{
	const char *home = env_get(env, "HOME");
	if (home != NULL && *home != '\0')
		return 0;
	const char **v = calloc((size_t)env->n + 2, sizeof *v);
	char *text = malloc(sizeof who->home + 8);
	if (v == NULL || text == NULL) {
		free(v);
		free(text);
		return err_set(err, ENOMEM, "out of memory");
	}
	uint32_t n = 0;
	for (uint32_t i = 0; i < env->n; i++)
		if (strncmp(env->v[i], "HOME=", 5) != 0)
			v[n++] = env->v[i];
	sprintf(text, "HOME=%s", who->home);
	v[n++] = text;
	*env = (struct strs){ .n = n, .v = v };
	return 0;
}

/* 0: can be executed; else errno. */
static int executable(const char *path)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return errno;
	if (S_ISDIR(st.st_mode))
		return EISDIR;
	return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? EACCES : 0;
}

int process_lookup(const char *name, const struct strs *env, char *program, struct failure *f)
{
	if (strchr(name, '/') != NULL) {
		snprintf(program, PATH_MAX, "%s", name);
		int code = executable(name);
		if (code == 0)
			return 0;
		f->exit_code = code == ENOENT ? 127 : 126;
		if (code == EACCES || code == EISDIR)
			return err_set(&f->err, code, "exec: \"%s\": %s", name, process_strerror(code));
		return err_set(&f->err, code, "exec: \"%s\": stat %s: %s", name, name, process_strerror(code));
	}
	const char *path = env_get(env, "PATH");
	for (const char *at = path; at != NULL && *name != '\0';) {
		const char *end = strchrnul(at, ':');
		int n = snprintf(program, PATH_MAX, "%.*s/%s", end == at ? 1 : (int)(end - at), end == at ? "." : at, name);
		if (n < PATH_MAX && executable(program) == 0)
			return 0;
		at = *end == '\0' ? NULL : end + 1;
	}
	f->exit_code = 127;
	return err_set(&f->err, ENOENT, "exec: \"%s\": executable file not found in $PATH", name);
}

/* Docker makes a missing working directory, as root. */
static int make_cwd(const char *cwd, struct err *err)
{
	if (chdir(cwd) == 0 || errno != ENOENT)
		return 0;
	autoclose root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	autoclose made = root < 0 ? -1 : root_make(root, cwd, true, err);
	if (made < 0)
		return -1;
	if (chdir(cwd) < 0)
		return err_set(err, errno, "chdir to cwd (\"%s\") set in config.json failed: %s", cwd, process_strerror(errno));
	return 0;
}

/* So that /dev/stdout can be opened again by the user, pipes and terminals become theirs. */
static int own_stdio(uid_t uid, gid_t gid, struct err *err)
{
	for (int fd = 0; fd < 3; fd++) {
		struct stat st;
		if (fstat(fd, &st) < 0 || st.st_uid == uid || !(S_ISFIFO(st.st_mode) || isatty(fd)))
			continue;
		if (fchown(fd, uid, S_ISFIFO(st.st_mode) ? gid : st.st_gid) < 0 && errno != EINVAL && errno != EPERM && errno != EROFS)
			return err_set(err, errno, "chown stdio: %s", strerror(errno));
	}
	return 0;
}

static int become(struct process *p, struct err *err)
{
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return err_set(err, errno, "keep capabilities: %s", strerror(errno));
	/* EPERM: a user namespace that denies setgroups. */
	if (setgroups(p->who.n_groups, p->who.groups) < 0 && (errno != EPERM || p->who.n_groups > 0))
		return err_set(err, errno, "setgroups: %s", process_strerror(errno));
	if (setresgid(p->who.gid, p->who.gid, p->who.gid) < 0)
		return err_set(err, errno, "setgid: %s", process_strerror(errno));
	if (setresuid(p->who.uid, p->who.uid, p->who.uid) < 0)
		return err_set(err, errno, "setuid: %s", process_strerror(errno));
	return 0;
}

int process_enter(struct process *p, char *program, struct failure *f)
{
	uint64_t permitted;
	f->exit_code = -1;
	f->plain = true;
	if (caps_parse(p->capabilities, &p->caps, &f->err) < 0)
		return -1;
	if (user_lookup(p->user, p->additional_groups, "/etc/passwd", "/etc/group", &p->who, &f->err) < 0)
		return -1;
	f->plain = false;
	if (caps_permitted(&permitted, &f->err) < 0 || process_home(&p->env, &p->who, &f->err) < 0)
		return -1;
	p->caps &= permitted;
	umask(p->umask != NULL && p->umask->set ? (mode_t)p->umask->v & 0777 : 022);
	if (make_cwd(p->cwd, &f->err) < 0 || own_stdio(p->who.uid, p->who.gid, &f->err) < 0)
		return -1;
	if (caps_bound(p->caps, &f->err) < 0 || become(p, &f->err) < 0)
		return -1;
	if (chdir(p->cwd) < 0) {
		f->exit_code = 126;
		return err_set(&f->err, errno, "chdir to cwd (\"%s\") set in config.json failed: %s", p->cwd, process_strerror(errno));
	}
	if (process_lookup(p->args.v[0], &p->env, program, f) < 0)
		return -1;
	if (p->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_set(&f->err, errno, "no_new_privs: %s", strerror(errno));
	if (p->filter != NULL) {
		/* Installing needs CAP_SYS_ADMIN (21) for a moment longer. */
		if (!p->no_new_privileges && caps_set((p->caps | 1ull << 21) & permitted, &f->err) < 0)
			return -1;
		if (seccomp_install(p->filter, &f->err) < 0)
			return -1;
	}
	return caps_set(p->caps, &f->err);
}

void process_exec(const struct process *p, const char *program)
{
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execve(program, (char *const *)p->args.v, (char *const *)p->env.v);
}
