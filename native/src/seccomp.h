#ifndef GANTRY_SECCOMP_H
#define GANTRY_SECCOMP_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "spec.h"

/* A filter as the kernel takes it. */
struct seccomp_filter {
	uint16_t len;
	struct sock_filter *insns; /* malloc'ed */
	unsigned flags; /* SECCOMP_FILTER_FLAG_… */
};

/* Docker's default filter for a container with these capabilities. */
int seccomp_build_default(uint64_t caps, struct seccomp_filter *out, struct err *err);
int seccomp_build_custom(const struct seccomp_spec *spec, struct seccomp_filter *out, struct err *err);
/* From here on, system calls of this process are filtered. Needs no_new_privs or CAP_SYS_ADMIN. */
int seccomp_install(const struct seccomp_filter *filter, struct err *err);

/* The spawner builds one beforehand, for the default capabilities; NULL when it was for others. */
void seccomp_prepare(uint64_t caps);
const struct seccomp_filter *seccomp_prepared(uint64_t caps);

/* One group of Docker's default profile. */
struct seccomp_group {
	const char *cap;    /* only with this capability; NULL: always */
	bool without;       /* instead: only without it */
	const char *names;  /* separated by spaces */
};
extern const struct seccomp_group SECCOMP_DEFAULT_GROUPS[];
extern const unsigned SECCOMP_DEFAULT_GROUP_COUNT;

#endif
