#ifndef GANTRY_PROCESS_H
#define GANTRY_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "seccomp.h"
#include "spec.h"
#include "user.h"

/* What the first process of a container and an exec have in common. */
struct process {
	struct strs args, env;
	const char *cwd, *user;
	const struct strs *additional_groups;
	const struct strs *capabilities;
	const struct seccomp_filter *filter; /* NULL: unconfined */
	bool no_new_privileges;
	const struct maybe_i64 *umask;
	/* found by process_enter */
	struct user who;
	uint64_t caps;
};

/* How a start failed: `exit_code` is Docker's for it (126, 127), or -1; `plain` when no engine words go around the message. */
struct failure {
	struct err err;
	int exit_code;
	bool plain;
};

int rlimits_set(const struct rlimit_spec *limits, uint32_t n, struct err *err);
int sysctls_set(int root, const struct spec *spec, struct err *err);

/*
 * Becomes the user in the working directory with the capabilities and the filter, finds the program, and answers its path in
 * *program (PATH_MAX). Inside the container's root already; stdio is in place. What follows may only wait, report and exec.
 */
int process_enter(struct process *p, char *program, struct failure *f);
/* Replaces this process, with an empty signal mask. Answers only when that failed, with errno. */
void process_exec(const struct process *p, const char *program);

/* Go's words for a system error ("no such file or directory"), which Docker's users know. */
const char *process_strerror(int code);

/* The program that `name` means for this user: 0, or -1 with the failure's words and exit code. */
int process_lookup(const char *name, const struct strs *env, char *program, struct failure *f);
/* HOME of the user where the environment has none: answers an environment with it (allocated), or the same. */
int process_home(struct strs *env, const struct user *who, struct err *err);

#endif
