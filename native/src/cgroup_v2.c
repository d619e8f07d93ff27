#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cgroup.h"
#include "io.h"

static bool all_controllers(const char *dir, const struct cg *g)
{
	static const struct { enum cg_controller c; const char *name; } NEED[] = {
		{ CG_MEMORY, "memory" }, { CG_PIDS, "pids" }, { CG_CPU, "cpu" }, { CG_CPUSET, "cpuset" }, { CG_BLKIO, "io" },
	};
	char path[PATH_MAX], text[512];
	if (snprintf(path, sizeof path, "%s/cgroup.controllers", dir) >= (int)sizeof path ||
	    io_read_file_at(AT_FDCWD, path, text, sizeof text, NULL) < 0)
		return false;
	for (size_t i = 0; i < sizeof NEED / sizeof *NEED; i++) {
		if (g->host->mounts[NEED[i].c] == NULL)
			continue;
		if (!cg_has_word(text, NEED[i].name, " \n"))
			return false;
	}
	return true;
}

/* Hands the controllers down to the children of `dir`. */
static int delegate(const char *dir, const struct cg *g, struct err *err)
{
	static const struct { enum cg_controller c; const char *word; bool must; } WORDS[] = {
		{ CG_MEMORY, "+memory", true }, { CG_PIDS, "+pids", true }, { CG_CPU, "+cpu", false },
		{ CG_CPUSET, "+cpuset", false }, { CG_BLKIO, "+io", false },
	};
	char path[PATH_MAX];
	if (snprintf(path, sizeof path, "%s/cgroup.subtree_control", dir) >= (int)sizeof path)
		return err_set(err, ENAMETOOLONG, "cgroup path is too long");
	for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++) {
		struct err why = { 0 };
		if (g->host->mounts[WORDS[i].c] == NULL || io_write_file_at(AT_FDCWD, path, WORDS[i].word, &why) == 0 || !WORDS[i].must)
			continue;
		if (why.code == EBUSY)
			return err_set(err, EBUSY, "%s has processes of its own, so its controllers cannot be handed down; move them to a child cgroup",
				       dir);
		return err_set(err, why.code, "%s", why.msg);
	}
	return 0;
}

int cg2_create(struct cg *g, struct err *err)
{
	char dir[PATH_MAX];
	if (cg_path(g, CG_FREEZER, "", dir, err) < 0)
		return -1;
	bool existed = mkdir(dir, 0755) < 0;
	if ((existed && errno != EEXIST) || !all_controllers(dir, g)) {
		size_t root = strlen(g->host->mounts[CG_FREEZER]);
		for (char *at = dir + root;; at++) {
			if (*at != '/' && *at != '\0')
				continue;
			char was = *at;
			*at = '\0';
			if (at != dir + root && mkdir(dir, 0755) < 0 && errno != EEXIST)
				return err_set(err, errno, "mkdir %s: %s", dir, strerror(errno));
			if (was != '\0' && delegate(dir, g, err) < 0)
				return -1;
			*at = was;
			if (was == '\0')
				break;
		}
	}
	g->join[0] = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (g->join[0] < 0)
		return err_set(err, errno, "open %s: %s", dir, strerror(errno));
	return existed ? cg_kill(g, err) : 0;
}

int64_t cg2_cpu_weight(int64_t shares)
{
	if (shares < 2)
		shares = 2;
	if (shares > 262144)
		shares = 262144;
	return 1 + (shares - 2) * 9999 / 262142;
}

int64_t cg2_io_weight(int64_t weight)
{
	if (weight < 10)
		weight = 10;
	if (weight > 1000)
		weight = 1000;
	return 1 + (weight - 10) * 9999 / 990;
}

static int write_max(struct cg *g, enum cg_controller c, const char *file, int64_t v, struct err *err)
{
	return v < 0 ? cg_write(g, c, file, "max", err) : cg_write_i64(g, c, file, v, err);
}

static int memory(struct cg *g, const struct cgroup *s, cg_warn warn, void *ctx, struct err *err)
{
	if (s->memory.set && write_max(g, CG_MEMORY, "memory.max", s->memory.v, err) < 0)
		return -1;
	if (s->memory_swap.set) {
		/* Docker's value counts memory and swap together. */
		int64_t swap = s->memory_swap.v < 0 ? -1 : s->memory_swap.v - (s->memory.set ? s->memory.v : 0);
		struct err why = { 0 };
		if (write_max(g, CG_MEMORY, "memory.swap.max", swap < -1 ? 0 : swap, &why) < 0) {
			if (why.code != ENOENT)
				return err_set(err, why.code, "%s", why.msg);
			if (warn != NULL && swap >= 0)
				warn(ctx, "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.");
		}
	}
	if (s->memory_reservation.set && cg_write_i64(g, CG_MEMORY, "memory.low", s->memory_reservation.v, err) < 0)
		return -1;
	if (s->oom_kill_disable && warn != NULL)
		warn(ctx, "Your kernel does not support OomKillDisable. OomKillDisable discarded.");
	return 0;
}

int cg2_apply(struct cg *g, const struct cgroup *s, cg_warn warn, void *ctx, struct err *err)
{
	if (memory(g, s, warn, ctx, err) < 0)
		return -1;
	if (s->pids.set && write_max(g, CG_PIDS, "pids.max", s->pids.v <= 0 ? -1 : s->pids.v, err) < 0)
		return -1;
	if (s->cpu_shares.set && s->cpu_shares.v > 0 &&
	    cg_write_i64(g, CG_CPU, "cpu.weight", cg2_cpu_weight(s->cpu_shares.v), err) < 0)
		return -1;
	if (s->cpu_quota.set || s->cpu_period.set) {
		char text[64];
		long long period = s->cpu_period.set && s->cpu_period.v > 0 ? s->cpu_period.v : 100000;
		if (s->cpu_quota.set && s->cpu_quota.v > 0)
			snprintf(text, sizeof text, "%lld %lld", (long long)s->cpu_quota.v, period);
		else
			snprintf(text, sizeof text, "max %lld", period);
		if (cg_write(g, CG_CPU, "cpu.max", text, err) < 0)
			return -1;
	}
	if (s->cpuset_cpus != NULL && cg_write(g, CG_CPUSET, "cpuset.cpus", s->cpuset_cpus, err) < 0)
		return -1;
	if (s->cpuset_mems != NULL && cg_write(g, CG_CPUSET, "cpuset.mems", s->cpuset_mems, err) < 0)
		return -1;
	if (s->blkio_weight.set && cg_write_i64(g, CG_BLKIO, "io.bfq.weight", s->blkio_weight.v, NULL) < 0 &&
	    cg_write_i64(g, CG_BLKIO, "io.weight", cg2_io_weight(s->blkio_weight.v), NULL) < 0 && warn != NULL)
		warn(ctx, "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.");
	return 0;
}

int cg2_freeze(struct cg *g, bool frozen, struct err *err)
{
	char path[PATH_MAX];
	if (cg_path(g, CG_FREEZER, "cgroup.events", path, err) < 0)
		return -1;
	autoclose events = open(path, O_RDONLY | O_CLOEXEC);
	if (events < 0)
		return err_set(err, errno, "open %s: %s", path, strerror(errno));
	if (cg_write(g, CG_FREEZER, "cgroup.freeze", frozen ? "1" : "0", err) < 0)
		return -1;
	for (int round = 0; round < 100; round++) {
		char text[256];
		ssize_t n = pread(events, text, sizeof text - 1, 0);
		if (n < 0)
			return err_set(err, errno, "read %s: %s", path, strerror(errno));
		text[n] = '\0';
		if ((cg_keyed(text, "frozen") == 1) == frozen)
			return 0;
		struct pollfd p = { .fd = events, .events = POLLPRI };
		poll(&p, 1, 20);
	}
	if (frozen)
		cg_write(g, CG_FREEZER, "cgroup.freeze", "0", NULL);
	return err_set(err, EBUSY, "unable to freeze");
}

bool cg2_oom_killed(const struct cg *g)
{
	char text[512];
	return cg_read(g, CG_MEMORY, "memory.events", text, sizeof text, NULL) > 0 && cg_keyed(text, "oom_kill") > 0;
}
