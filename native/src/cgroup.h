#ifndef GANTRY_CGROUP_H
#define GANTRY_CGROUP_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "err.h"
#include "spec.h"

enum cg_controller { CG_MEMORY, CG_CPU, CG_CPUACCT, CG_PIDS, CG_CPUSET, CG_FREEZER, CG_DEVICES, CG_BLKIO, CG_COUNT };
#define CG_BIT(c) (1u << (c))

/* Where the host mounts its hierarchies. Version 2 has one mount, given for every controller it offers. */
struct cg_host {
	int version; /* 1, 2, or 0: none usable */
	const char *mounts[CG_COUNT]; /* NULL: not there */
};

/*
 * Reads the text of a mountinfo file. A cgroup2 mount counts when its cgroup.controllers offers memory and pids and no cgroup v1
 * memory hierarchy is mounted. The strings are allocated.
 */
void cg_detect(const char *mountinfo, struct cg_host *host);
void cg_forget(struct cg_host *host);

/* The cgroups of one container: `path` in each hierarchy of `used`. */
struct cg {
	const struct cg_host *host;
	const char *path;
	unsigned used;
	int join[CG_COUNT]; /* v1: each `tasks` file; v2: join[0] is the directory. -1: not open */
	bool frozen;
};

/* Warnings go to `warn` (may be NULL): something asked for that this host cannot do. */
typedef void (*cg_warn)(void *ctx, const char *text);

/* Makes the directories and opens what joining needs. Kills what an earlier, crashed owner left in them. */
int cg_create(struct cg *g, const struct cg_host *host, const struct cgroup *spec, struct err *err);
/* The cgroups of an existing container, for clean-up. */
void cg_existing(struct cg *g, const struct cg_host *host, const char *path);
/* Writes limits and device rules. */
int cg_apply(struct cg *g, const struct cgroup *spec, bool devices, cg_warn warn, void *ctx, struct err *err);
/* New limits, in hierarchies not used before too (their processes are moved there). */
int cg_update(struct cg *g, const struct cgroup *spec, cg_warn warn, void *ctx, struct err *err);
/* v1: puts the calling single-threaded process in. On v2 clone3 does that with CLONE_INTO_CGROUP and join[0]; this is for setns. */
int cg_join_self(const struct cg *g, struct err *err);
void cg_close(struct cg *g);

int cg_freeze(struct cg *g, bool frozen, struct err *err);
/* PIDs in the cgroup and beneath; *out is malloc'ed. Answers the count or -1. */
ssize_t cg_pids(const struct cg *g, pid_t **out, struct err *err);
/* Kills everything in it, again and again until it is empty; -1 when it does not become so. */
int cg_kill(struct cg *g, struct err *err);
bool cg_oom_killed(const struct cg *g);
/* Removes the directories and any beneath them. */
int cg_remove(struct cg *g, struct err *err);

/* ---- for the two versions ---- */
int cg_write(const struct cg *g, enum cg_controller c, const char *file, const char *text, struct err *err);
int cg_write_i64(const struct cg *g, enum cg_controller c, const char *file, int64_t v, struct err *err);
ssize_t cg_read(const struct cg *g, enum cg_controller c, const char *file, char *buf, size_t size, struct err *err);
int cg_path(const struct cg *g, enum cg_controller c, const char *file, char out[PATH_MAX], struct err *err);
/* Value after "key " in a flat keyed file; 0 when it is not there. */
int64_t cg_keyed(const char *text, const char *key);
/* Whether `word` is one of the words of `list`, which any of `separators` part. */
bool cg_has_word(const char *list, const char *word, const char *separators);
unsigned cg_wanted(const struct cg_host *host, const struct cgroup *spec);

int cg1_create(struct cg *g, struct err *err);
int cg1_apply(struct cg *g, const struct cgroup *spec, cg_warn warn, void *ctx, struct err *err);
int cg1_devices(struct cg *g, const struct strs *rules, struct err *err);
int cg1_freeze(struct cg *g, bool frozen, struct err *err);
bool cg1_oom_killed(const struct cg *g);

int cg2_create(struct cg *g, struct err *err);
int cg2_apply(struct cg *g, const struct cgroup *spec, cg_warn warn, void *ctx, struct err *err);
int cg2_freeze(struct cg *g, bool frozen, struct err *err);
bool cg2_oom_killed(const struct cg *g);
int64_t cg2_cpu_weight(int64_t shares);
int64_t cg2_io_weight(int64_t blkio_weight);

/* One device rule, `type major:minor access` with * for any. */
struct device_rule {
	char type; /* a, b, c */
	int64_t major, minor; /* -1: any */
	bool r, w, m;
};
int device_rule_parse(const char *text, struct device_rule *rule, struct err *err);

struct bpf_insn;
/* The program of a device cgroup: allows what a rule allows, denies the rest. Answers the count of instructions, -1 when > max. */
int bpf_device_program(const struct device_rule *rules, size_t n, struct bpf_insn *out, size_t max);
/* Loads and attaches it to a cgroup2 directory. */
int bpf_device_attach(int cgroup_fd, const struct strs *rules, struct err *err);

#endif
