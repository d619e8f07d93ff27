#ifndef GANTRY_USER_H
#define GANTRY_USER_H

#include <stdint.h>
#include <sys/types.h>

#include "err.h"
#include "wire.h"

struct user {
	uid_t uid;
	gid_t gid;
	size_t n_groups;
	gid_t groups[128];
	char home[512];
};

/*
 * Docker's `user[:group]`, names or numbers, looked up in passwd and group (paths; a missing file is an empty one). An empty
 * user is root. A group given by the caller replaces those of the user. `additional`: names or numbers (--group-add).
 */
int user_lookup(const char *user, const struct strs *additional, const char *passwd, const char *group, struct user *out,
		struct err *err);

#endif
