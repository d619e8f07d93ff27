#include "cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "io.h"

static const char *const NAMES[CG_COUNT] = {
	[CG_MEMORY] = "memory", [CG_CPU] = "cpu", [CG_CPUACCT] = "cpuacct", [CG_PIDS] = "pids",
	[CG_CPUSET] = "cpuset", [CG_FREEZER] = "freezer", [CG_DEVICES] = "devices", [CG_BLKIO] = "blkio",
};

bool cg_has_word(const char *list, const char *word, const char *separators)
{
	size_t len = strlen(word);
	for (const char *at = list; *at != '\0';) {
		size_t n = strcspn(at, separators);
		if (n == len && memcmp(at, word, len) == 0)
			return true;
		at += n;
		at += strspn(at, separators);
	}
	return false;
}

/* mountinfo writes space, tab, newline and backslash as \ooo. */
static char *unescape(const char *s)
{
	char *out = strdup(s), *to = out;
	if (out == NULL)
		return NULL;
	for (const char *at = s; *at != '\0';) {
		if (at[0] == '\\' && at[1] >= '0' && at[1] <= '3' && at[2] >= '0' && at[2] <= '7' && at[3] >= '0' && at[3] <= '7') {
			*to++ = (char)((at[1] - '0') * 64 + (at[2] - '0') * 8 + (at[3] - '0'));
			at += 4;
		} else {
			*to++ = *at++;
		}
	}
	*to = '\0';
	return out;
}

static void detect_line(char *line, struct cg_host *v1, struct cg_host *v2)
{
	/* id parent major:minor root mountpoint options [optional…] - type source superoptions */
	char *save = NULL, *point = NULL, *type = NULL, *super = NULL;
	int n = 0, after = -1;
	for (char *word = strtok_r(line, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save), n++) {
		if (n == 4)
			point = word;
		else if (after < 0 && n >= 6 && strcmp(word, "-") == 0)
			after = n;
		else if (after >= 0 && n == after + 1)
			type = word;
		else if (after >= 0 && n == after + 3)
			super = word;
	}
	if (point == NULL || type == NULL || super == NULL)
		return;
	if (strcmp(type, "cgroup") == 0) {
		for (int c = 0; c < CG_COUNT; c++)
			if (v1->mounts[c] == NULL && cg_has_word(super, NAMES[c], ","))
				v1->mounts[c] = unescape(point);
	} else if (strcmp(type, "cgroup2") == 0 && v2->version == 0) {
		char *root = unescape(point);
		char controllers[512];
		autoclose dir = root == NULL ? -1 : open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0 || io_read_file_at(dir, "cgroup.controllers", controllers, sizeof controllers, NULL) < 0 ||
		    !cg_has_word(controllers, "memory", " \n") || !cg_has_word(controllers, "pids", " \n")) {
			free(root);
			return;
		}
		v2->version = 2;
		for (int c = 0; c < CG_COUNT; c++) {
			const char *name = c == CG_CPUACCT ? "cpu" : c == CG_BLKIO ? "io" : NAMES[c];
			if (c == CG_FREEZER || c == CG_DEVICES || cg_has_word(controllers, name, " \n"))
				v2->mounts[c] = root;
		}
	}
}

void cg_detect(const char *mountinfo, struct cg_host *host)
{
	struct cg_host v1 = { 0 }, v2 = { 0 };
	char *text = strdup(mountinfo), *save = NULL;
	for (char *line = text == NULL ? NULL : strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
		detect_line(line, &v1, &v2);
	free(text);
	v1.version = v1.mounts[CG_MEMORY] != NULL || v1.mounts[CG_PIDS] != NULL ? 1 : 0;
	*host = v1.version == 1 ? v1 : v2;
	cg_forget(v1.version == 1 ? &v2 : &v1);
}

void cg_forget(struct cg_host *host)
{
	for (int c = 0; c < CG_COUNT; c++) {
		for (int other = c + 1; other < CG_COUNT; other++)
			if (host->mounts[other] == host->mounts[c])
				host->mounts[other] = NULL;
		free((char *)host->mounts[c]);
	}
	*host = (struct cg_host){ 0 };
}

int cg_path(const struct cg *g, enum cg_controller c, const char *file, char out[PATH_MAX], struct err *err)
{
	if (g->host->mounts[c] == NULL)
		return err_set(err, ENODEV, "this host has no %s cgroup", NAMES[c]);
	int n = snprintf(out, PATH_MAX, "%s/%s%s%s", g->host->mounts[c], g->path, *file == '\0' ? "" : "/", file);
	return n >= PATH_MAX ? err_set(err, ENAMETOOLONG, "cgroup path is too long") : 0;
}

int cg_write(const struct cg *g, enum cg_controller c, const char *file, const char *text, struct err *err)
{
	char path[PATH_MAX];
	if (cg_path(g, c, file, path, err) < 0)
		return -1;
	return io_write_file_at(AT_FDCWD, path, text, err);
}

int cg_write_i64(const struct cg *g, enum cg_controller c, const char *file, int64_t v, struct err *err)
{
	char text[24];
	snprintf(text, sizeof text, "%lld", (long long)v);
	return cg_write(g, c, file, text, err);
}

ssize_t cg_read(const struct cg *g, enum cg_controller c, const char *file, char *buf, size_t size, struct err *err)
{
	char path[PATH_MAX];
	if (cg_path(g, c, file, path, err) < 0)
		return -1;
	return io_read_file_at(AT_FDCWD, path, buf, size, err);
}

int64_t cg_keyed(const char *text, const char *key)
{
	size_t len = strlen(key);
	for (const char *at = text; at != NULL && *at != '\0'; at = strchr(at, '\n')) {
		at += *at == '\n';
		if (strncmp(at, key, len) == 0 && at[len] == ' ')
			return strtoll(at + len + 1, NULL, 10);
	}
	return 0;
}

unsigned cg_wanted(const struct cg_host *host, const struct cgroup *s)
{
	unsigned want = CG_BIT(CG_MEMORY) | CG_BIT(CG_PIDS) | CG_BIT(CG_CPUACCT) | CG_BIT(CG_FREEZER);
	if (s->device_rules.n > 0)
		want |= CG_BIT(CG_DEVICES);
	if (s->cpu_shares.set || s->cpu_quota.set || s->cpu_period.set)
		want |= CG_BIT(CG_CPU);
	if (s->cpuset_cpus != NULL || s->cpuset_mems != NULL)
		want |= CG_BIT(CG_CPUSET);
	if (s->blkio_weight.set)
		want |= CG_BIT(CG_BLKIO);
	for (int c = 0; c < CG_COUNT; c++)
		if (host->mounts[c] == NULL)
			want &= ~CG_BIT(c);
	return want;
}

static void cg_init(struct cg *g, const struct cg_host *host, const char *path)
{
	*g = (struct cg){ .host = host, .path = path };
	for (int c = 0; c < CG_COUNT; c++)
		g->join[c] = -1;
}

int cg_create(struct cg *g, const struct cg_host *host, const struct cgroup *spec, struct err *err)
{
	cg_init(g, host, spec->path);
	if (host->version == 0)
		return err_set(err, 0, "this host mounts no usable cgroup hierarchy; mount cgroup2, or cgroup v1 with memory and pids");
	g->used = cg_wanted(host, spec);
	return host->version == 1 ? cg1_create(g, err) : cg2_create(g, err);
}

void cg_existing(struct cg *g, const struct cg_host *host, const char *path)
{
	cg_init(g, host, path);
	for (int c = 0; c < CG_COUNT; c++) {
		char dir[PATH_MAX];
		if (host->mounts[c] != NULL && cg_path(g, c, "", dir, NULL) == 0 && access(dir, F_OK) == 0)
			g->used |= CG_BIT(c);
	}
}

int cg_apply(struct cg *g, const struct cgroup *spec, bool devices, cg_warn warn, void *ctx, struct err *err)
{
	if (g->host->version == 1) {
		if (devices && spec->device_rules.n > 0 && (g->used & CG_BIT(CG_DEVICES)) && cg1_devices(g, &spec->device_rules, err) < 0)
			return -1;
		return cg1_apply(g, spec, warn, ctx, err);
	}
	if (devices && spec->device_rules.n > 0 && bpf_device_attach(g->join[0], &spec->device_rules, err) < 0)
		return -1;
	return cg2_apply(g, spec, warn, ctx, err);
}

int cg_update(struct cg *g, const struct cgroup *spec, cg_warn warn, void *ctx, struct err *err)
{
	unsigned more = g->host->version == 1 ? cg_wanted(g->host, spec) & ~g->used & ~CG_BIT(CG_DEVICES) : 0;
	if (more != 0) {
		struct cg added = *g;
		added.used = more;
		for (int c = 0; c < CG_COUNT; c++)
			added.join[c] = -1;
		if (cg1_create(&added, err) < 0)
			return -1;
		pid_t *pids = NULL;
		ssize_t n = cg_pids(g, &pids, err);
		for (ssize_t i = 0; i < n; i++)
			for (int c = 0; c < CG_COUNT; c++)
				if (more & CG_BIT(c))
					cg_write_i64(&added, c, "cgroup.procs", pids[i], NULL);
		free(pids);
		for (int c = 0; c < CG_COUNT; c++)
			if (more & CG_BIT(c))
				g->join[c] = added.join[c];
		g->used |= more;
		if (n < 0)
			return -1;
	}
	return cg_apply(g, spec, false, warn, ctx, err);
}

int cg_join_self(const struct cg *g, struct err *err)
{
	if (g->host->version == 2) {
		return io_write_file_at(g->join[0], "cgroup.procs", "0", err);
	}
	for (int c = 0; c < CG_COUNT; c++)
		if (g->join[c] >= 0 && write(g->join[c], "0", 1) < 0)
			return err_set(err, errno, "join %s cgroup %s: %s", NAMES[c], g->path, strerror(errno));
	return 0;
}

void cg_close(struct cg *g)
{
	for (int c = 0; c < CG_COUNT; c++) {
		io_close_fd(&g->join[c]);
		g->join[c] = -1;
	}
}

int cg_freeze(struct cg *g, bool frozen, struct err *err)
{
	int r = g->host->version == 1 ? cg1_freeze(g, frozen, err) : cg2_freeze(g, frozen, err);
	if (r == 0)
		g->frozen = frozen;
	return r;
}

static int first_used(const struct cg *g)
{
	for (int c = 0; c < CG_COUNT; c++)
		if (g->used & CG_BIT(c))
			return c;
	return -1;
}

struct pids { pid_t *v; size_t n, cap; };

static int collect(int dir, struct pids *out, int depth, struct err *err)
{
	autoclose fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, errno, "open cgroup.procs: %s", strerror(errno));
	char buf[4096];
	pid_t pid = 0;
	bool digits = false;
	for (ssize_t n; (n = read(fd, buf, sizeof buf)) > 0;) {
		for (ssize_t i = 0; i < n; i++) {
			if (buf[i] >= '0' && buf[i] <= '9') {
				pid = pid * 10 + (buf[i] - '0');
				digits = true;
			} else if (digits) {
				if (out->n == out->cap) {
					size_t cap = out->cap * 2 + 16;
					pid_t *v = realloc(out->v, cap * sizeof *v);
					if (v == NULL)
						return err_set(err, ENOMEM, "out of memory");
					out->v = v;
					out->cap = cap;
				}
				if (pid > 0)
					out->v[out->n++] = pid;
				pid = 0;
				digits = false;
			}
		}
	}
	if (depth > 32)
		return 0;
	struct stat st;
	if (fstat(dir, &st) == 0 && st.st_nlink == 2)
		return 0;
	int dup = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = dup < 0 ? NULL : fdopendir(dup);
	if (d == NULL) {
		io_close_fd(&dup);
		return 0;
	}
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		if (e->d_type != DT_DIR || !io_is_component(e->d_name))
			continue;
		autoclose sub = openat(dir, e->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (sub >= 0)
			collect(sub, out, depth + 1, NULL);
	}
	closedir(d);
	return 0;
}

ssize_t cg_pids(const struct cg *g, pid_t **out, struct err *err)
{
	*out = NULL;
	int c = first_used(g);
	char path[PATH_MAX];
	if (c < 0 || cg_path(g, c, "", path, err) < 0)
		return c < 0 ? 0 : -1;
	autoclose dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return errno == ENOENT ? 0 : err_set(err, errno, "open %s: %s", path, strerror(errno));
	struct pids pids = { 0 };
	if (collect(dir, &pids, 0, err) < 0) {
		free(pids.v);
		return -1;
	}
	*out = pids.v;
	return (ssize_t)pids.n;
}

static void nap(long ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
	nanosleep(&t, NULL);
}

int cg_kill(struct cg *g, struct err *err)
{
	for (int round = 0; round < 200; round++) {
		pid_t *pids = NULL;
		ssize_t n = cg_pids(g, &pids, err);
		for (ssize_t i = 0; i < n; i++)
			if (pids[i] != getpid())
				kill(pids[i], SIGKILL);
		free(pids);
		if (n <= 0)
			return (int)n;
		if (round == 0) {
			/* What is frozen does not die, and what forks faster than this loop must not. */
			if (g->host->version == 1)
				cg_write(g, CG_PIDS, "pids.max", "0", NULL);
			cg_freeze(g, false, NULL);
		}
		nap(round < 10 ? 1 : 20);
	}
	return err_set(err, EBUSY, "processes of cgroup %s do not end", g->path);
}

bool cg_oom_killed(const struct cg *g) { return g->host->version == 1 ? cg1_oom_killed(g) : cg2_oom_killed(g); }

static int remove_tree(int parent, const char *name, int depth)
{
	if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	int saved = errno;
	if (depth > 32)
		return -1;
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (d == NULL) {
		io_close_fd(&fd);
		errno = saved;
		return -1;
	}
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		if (e->d_type == DT_DIR && io_is_component(e->d_name))
			remove_tree(dirfd(d), e->d_name, depth + 1);
	closedir(d);
	return unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -1;
}

int cg_remove(struct cg *g, struct err *err)
{
	cg_close(g);
	int result = 0;
	for (int c = 0; c < CG_COUNT; c++) {
		char path[PATH_MAX];
		if (!(g->used & CG_BIT(c)) || cg_path(g, c, "", path, err) < 0)
			continue;
		/* A cgroup whose last process has just ended can be busy for a moment. */
		int r = -1;
		for (int round = 0; round < 100 && (r = remove_tree(AT_FDCWD, path, 0)) < 0 && errno == EBUSY; round++)
			nap(round < 20 ? 1 : 10);
		if (r < 0)
			result = err_set(err, errno, "remove cgroup %s: %s", path, strerror(errno));
		else
			g->used &= ~CG_BIT(c);
		if (g->host->version == 2)
			break;
	}
	return result;
}
