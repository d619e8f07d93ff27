#ifndef GANTRY_STATE_H
#define GANTRY_STATE_H

#include <stdint.h>
#include <sys/types.h>

#include "../src/cgroup.h"
#include "../src/spec.h"

/*
 * `dir/monitor`: locked by the monitor while it lives, and what is needed to clean up after it if it is killed. Lines:
 * "1 monitor-pid init-pid started-at", the container's ID, the cgroup path, the host's names of its interfaces.
 * Empty when no container is there.
 */
struct state {
	pid_t monitor, init;
	int64_t started_at; /* 0: it never ran */
	char id[129], cgroup[1024], interfaces[1024];
};

#define STATE_KILLED "the container's monitor was killed"

/* Opens and locks it, waiting up to `ms` for a monitor that is cleaning up. Answers the descriptor; err->code EAGAIN: it is running. */
int state_lock(int dir, int ms, struct err *err);
int state_write(int fd, const struct spec *spec, pid_t monitor, pid_t init, int64_t started_at, struct err *err);
int state_parse(char *text, struct state *out, struct err *err);
/* Ends what a killed monitor left, and writes `exit`. err->code EAGAIN: it lives; ENOENT: there is none. */
int state_reap(const char *dir, const struct cg_host *host, int64_t at, struct state *out, struct err *err);

#endif
