#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "cgroup.h"
#include "io.h"

/* A cpuset takes no process before it has CPUs and memory nodes; they are its parent's until it is given others. */
static int inherit_cpuset(const char *dir, size_t parent_len, struct err *err)
{
	static const char *const FILES[] = { "cpuset.cpus", "cpuset.mems" };
	char path[PATH_MAX], value[1024];
	for (size_t i = 0; i < 2; i++) {
		if (snprintf(path, sizeof path, "%s/%s", dir, FILES[i]) >= (int)sizeof path)
			return err_set(err, ENAMETOOLONG, "cgroup path is too long");
		if (io_read_file_at(AT_FDCWD, path, value, sizeof value, err) < 0)
			return -1;
		if (value[strspn(value, " \n")] != '\0')
			continue;
		if (snprintf(path, sizeof path, "%.*s/%s", (int)parent_len, dir, FILES[i]) >= (int)sizeof path)
			return err_set(err, ENAMETOOLONG, "cgroup path is too long");
		if (io_read_file_at(AT_FDCWD, path, value, sizeof value, err) < 0)
			return -1;
		if (snprintf(path, sizeof path, "%s/%s", dir, FILES[i]) >= (int)sizeof path || io_write_file_at(AT_FDCWD, path, value, err) < 0)
			return -1;
	}
	return 0;
}

/* Makes root/path, parents first where they are missing. 1 when the last one was there before. */
static int make(const char *root, char *dir, bool cpuset, struct err *err)
{
	if (!cpuset) {
		if (mkdir(dir, 0755) == 0)
			return 0;
		if (errno == EEXIST)
			return 1;
		if (errno != ENOENT)
			return err_set(err, errno, "mkdir %s: %s", dir, strerror(errno));
	}
	size_t parent = strlen(root);
	int existed = 0;
	for (char *at = dir + parent + 1;; at++) {
		if (*at != '/' && *at != '\0')
			continue;
		char was = *at;
		*at = '\0';
		existed = mkdir(dir, 0755) < 0;
		if (existed && errno != EEXIST)
			return err_set(err, errno, "mkdir %s: %s", dir, strerror(errno));
		if (cpuset && inherit_cpuset(dir, parent, err) < 0)
			return -1;
		parent = (size_t)(at - dir);
		*at = was;
		if (was == '\0')
			return existed;
	}
}

int cg1_create(struct cg *g, struct err *err)
{
	bool left = false;
	for (int c = 0; c < CG_COUNT; c++) {
		char path[PATH_MAX];
		if (!(g->used & CG_BIT(c)))
			continue;
		if (cg_path(g, c, "", path, err) < 0)
			return -1;
		int existed = make(g->host->mounts[c], path, c == CG_CPUSET, err);
		if (existed < 0)
			return -1;
		left |= existed == 1;
		/*
		 * `tasks`, not cgroup.procs: a thread that moves itself with "0" needs no global lock, where cgroup.procs waits for an
		 * RCU grace period.
		 */
		if (cg_path(g, c, "tasks", path, err) < 0)
			return -1;
		g->join[c] = open(path, O_WRONLY | O_CLOEXEC);
		if (g->join[c] < 0)
			return err_set(err, errno, "open %s: %s", path, strerror(errno));
	}
	return left ? cg_kill(g, err) : 0;
}

static int memory(struct cg *g, const struct cgroup *s, cg_warn warn, void *ctx, struct err *err)
{
	if (s->memory.set || s->memory_swap.set) {
		bool swap = s->memory_swap.set && cg_write_i64(g, CG_MEMORY, "memory.memsw.limit_in_bytes", s->memory_swap.v, NULL) == 0;
		if (s->memory.set && cg_write_i64(g, CG_MEMORY, "memory.limit_in_bytes", s->memory.v, err) < 0)
			return -1;
		struct err why = { 0 };
		if (s->memory_swap.set && !swap && cg_write_i64(g, CG_MEMORY, "memory.memsw.limit_in_bytes", s->memory_swap.v, &why) < 0) {
			if (why.code != ENOENT && why.code != EACCES)
				return err_set(err, why.code, "%s", why.msg);
			if (warn != NULL && s->memory_swap.v > 0)
				warn(ctx, "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.");
		}
	}
	if (s->memory_reservation.set && cg_write_i64(g, CG_MEMORY, "memory.soft_limit_in_bytes", s->memory_reservation.v, err) < 0)
		return -1;
	if (s->oom_kill_disable && cg_write(g, CG_MEMORY, "memory.oom_control", "1", err) < 0)
		return -1;
	return 0;
}

int cg1_apply(struct cg *g, const struct cgroup *s, cg_warn warn, void *ctx, struct err *err)
{
	if (memory(g, s, warn, ctx, err) < 0)
		return -1;
	if (s->pids.set) {
		bool none = s->pids.v <= 0;
		if ((none ? cg_write(g, CG_PIDS, "pids.max", "max", err) : cg_write_i64(g, CG_PIDS, "pids.max", s->pids.v, err)) < 0)
			return -1;
	}
	if (s->cpu_shares.set && cg_write_i64(g, CG_CPU, "cpu.shares", s->cpu_shares.v, err) < 0)
		return -1;
	if (s->cpu_period.set && cg_write_i64(g, CG_CPU, "cpu.cfs_period_us", s->cpu_period.v, err) < 0)
		return -1;
	if (s->cpu_quota.set && cg_write_i64(g, CG_CPU, "cpu.cfs_quota_us", s->cpu_quota.v, err) < 0)
		return -1;
	if (s->cpuset_cpus != NULL && cg_write(g, CG_CPUSET, "cpuset.cpus", s->cpuset_cpus, err) < 0)
		return -1;
	if (s->cpuset_mems != NULL && cg_write(g, CG_CPUSET, "cpuset.mems", s->cpuset_mems, err) < 0)
		return -1;
	if (s->blkio_weight.set && cg_write_i64(g, CG_BLKIO, "blkio.weight", s->blkio_weight.v, NULL) < 0 &&
	    cg_write_i64(g, CG_BLKIO, "blkio.bfq.weight", s->blkio_weight.v, NULL) < 0 && warn != NULL)
		warn(ctx, "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.");
	return 0;
}

int cg1_devices(struct cg *g, const struct strs *rules, struct err *err)
{
	for (uint32_t i = 0; i < rules->n; i++)
		if (strncmp(rules->v[i], "a ", 2) == 0)
			return 0; /* everything, which is what a new cgroup allows */
	char path[PATH_MAX];
	if (cg_path(g, CG_DEVICES, "devices.allow", path, err) < 0 || cg_write(g, CG_DEVICES, "devices.deny", "a", err) < 0)
		return -1;
	autoclose fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, errno, "open %s: %s", path, strerror(errno));
	for (uint32_t i = 0; i < rules->n; i++) {
		struct device_rule rule;
		if (device_rule_parse(rules->v[i], &rule, err) < 0)
			return -1;
		if (write(fd, rules->v[i], strlen(rules->v[i])) < 0)
			return err_set(err, errno, "write \"%s\" to devices.allow: %s", rules->v[i], strerror(errno));
	}
	return 0;
}

int cg1_freeze(struct cg *g, bool frozen, struct err *err)
{
	for (int round = 0; round < 1000; round++) {
		/* A process forked while the group freezes can escape until the state is written again. */
		if (cg_write(g, CG_FREEZER, "freezer.state", frozen ? "FROZEN" : "THAWED", err) < 0)
			return -1;
		char state[32];
		if (cg_read(g, CG_FREEZER, "freezer.state", state, sizeof state, err) < 0)
			return -1;
		if (strcmp(state, frozen ? "FROZEN\n" : "THAWED\n") == 0)
			return 0;
		struct timespec t = { .tv_nsec = round < 50 ? 100000 : 2000000 };
		nanosleep(&t, NULL);
	}
	if (frozen)
		cg_write(g, CG_FREEZER, "freezer.state", "THAWED", NULL);
	return err_set(err, EBUSY, "unable to freeze");
}

bool cg1_oom_killed(const struct cg *g)
{
	char text[256];
	return (g->used & CG_BIT(CG_MEMORY)) && cg_read(g, CG_MEMORY, "memory.oom_control", text, sizeof text, NULL) > 0 &&
	       cg_keyed(text, "oom_kill") > 0;
}
