#include "user.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#define LINE_MAX_BYTES (64 * 1024)

static void close_file(FILE **f)
{
	if (*f != NULL)
		fclose(*f);
}
#define autofile __attribute__((cleanup(close_file))) FILE *

static void free_text(char **p) { free(*p); }
#define autotext __attribute__((cleanup(free_text))) char *

/* 1: a number in range, 0: not a number, -1: out of range. */
static int parse_id(const char *s, uint32_t *out)
{
	if (*s == '\0' || strspn(s, "0123456789") != strlen(s))
		return 0;
	errno = 0;
	unsigned long long v = strtoull(s, NULL, 10);
	if (errno != 0 || v > 0x7fffffff)
		return -1;
	*out = (uint32_t)v;
	return 1;
}

static int range(struct err *err) { return err_set(err, 0, "uids and gids must be in range 0-2147483647"); }

static int add_group(struct user *u, gid_t gid, struct err *err)
{
	for (size_t i = 0; i < u->n_groups; i++)
		if (i == 0 ? u->gid == gid : u->groups[i] == gid)
			return 0;
	if (u->n_groups == sizeof u->groups / sizeof *u->groups)
		return err_set(err, 0, "a user has more than %zu groups", u->n_groups);
	u->groups[u->n_groups++] = gid;
	return 0;
}

/* Looks for a user by name, or by number where `numeric`. 1: found; *name is the entry's name. */
static int find_user(const char *passwd, const char *who, bool numeric, uint32_t id, struct user *out, char *name, size_t size,
		     struct err *err)
{
	autofile f = fopen(passwd, "re");
	if (f == NULL)
		return errno == ENOENT || errno == ENOTDIR ? 0 : err_set(err, errno, "open %s: %s", passwd, strerror(errno));
	autotext buf = malloc(LINE_MAX_BYTES);
	if (buf == NULL)
		return err_set(err, ENOMEM, "out of memory");
	struct passwd entry, *e;
	while (fgetpwent_r(f, &entry, buf, LINE_MAX_BYTES, &e) == 0) {
		if (strcmp(e->pw_name, who) != 0 && !(numeric && e->pw_uid == id))
			continue;
		out->uid = e->pw_uid;
		out->gid = e->pw_gid;
		snprintf(out->home, sizeof out->home, "%s", e->pw_dir);
		snprintf(name, size, "%s", e->pw_name);
		return 1;
	}
	return 0;
}

/* One pass over the group file: `want` (1: found, *gid), or the groups with `member` in them. */
static int scan_groups(const char *group, const char *want, const char *member, gid_t *gid, struct user *u, struct err *err)
{
	autofile f = fopen(group, "re");
	if (f == NULL)
		return errno == ENOENT || errno == ENOTDIR ? 0 : err_set(err, errno, "open %s: %s", group, strerror(errno));
	autotext buf = malloc(LINE_MAX_BYTES);
	if (buf == NULL)
		return err_set(err, ENOMEM, "out of memory");
	struct group entry, *e;
	uint32_t id = 0;
	bool numeric = want != NULL && parse_id(want, &id) == 1;
	while (fgetgrent_r(f, &entry, buf, LINE_MAX_BYTES, &e) == 0) {
		if (want != NULL && (strcmp(e->gr_name, want) == 0 || (numeric && e->gr_gid == id))) {
			*gid = e->gr_gid;
			return 1;
		}
		for (char **m = e->gr_mem; member != NULL && *m != NULL; m++)
			if (strcmp(*m, member) == 0 && add_group(u, e->gr_gid, err) < 0)
				return -1;
	}
	return 0;
}

static int find_group(const char *group, const char *want, gid_t *gid, const char *unknown, struct err *err)
{
	int found = scan_groups(group, want, NULL, gid, NULL, err);
	if (found != 0)
		return found < 0 ? -1 : 0;
	int number = parse_id(want, gid);
	if (number < 0)
		return range(err);
	return number == 1 ? 0 : err_set(err, 0, unknown, want);
}

int user_lookup(const char *user, const struct strs *additional, const char *passwd, const char *group, struct user *out,
		struct err *err)
{
	*out = (struct user){ .home = "/" };
	char who[256], name[256] = "";
	const char *colon = strchr(user, ':');
	size_t len = colon == NULL ? strlen(user) : (size_t)(colon - user);
	if (len >= sizeof who)
		return err_set(err, 0, "user name is too long");
	memcpy(who, user, len);
	who[len] = '\0';

	uint32_t id = 0;
	int number = len == 0 ? 1 : parse_id(who, &id);
	if (number < 0)
		return range(err);
	int found = find_user(passwd, who, number == 1, id, out, name, sizeof name, err);
	if (found < 0)
		return -1;
	if (found == 0) {
		if (number == 0)
			return err_set(err, 0, "unable to find user %s: no matching entries in passwd file", who);
		out->uid = id;
	}
	if (out->home[0] == '\0')
		strcpy(out->home, "/");

	/* Supplementary groups begin with the primary one, as in Docker since CVE-2022-36109. */
	out->n_groups = 1;
	if (colon != NULL && colon[1] != '\0') {
		if (find_group(group, colon + 1, &out->gid, "unable to find group %s: no matching entries in group file", err) < 0)
			return -1;
	} else if (found == 1 && scan_groups(group, NULL, name, NULL, out, err) < 0) {
		return -1;
	}
	out->groups[0] = out->gid;
	for (uint32_t i = 0; i < additional->n; i++) {
		gid_t gid = 0;
		if (find_group(group, additional->v[i], &gid, "Unable to find group %s", err) < 0 || add_group(out, gid, err) < 0)
			return -1;
	}
	return 0;
}
