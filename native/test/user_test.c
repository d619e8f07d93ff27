/* Users and groups as Docker resolves them. */
#include "../src/user.h"
#include "check.h"

static char passwd[128], group[128];

static int look(const char *user, struct strs add, struct user *u, struct err *err)
{
	return user_lookup(user, &add, passwd, group, u, err);
}

int main(void)
{
	const char *dir = temp_dir();
	struct user u;
	struct strs none = { 0 };
	snprintf(passwd, sizeof passwd, "%s/passwd", dir);
	snprintf(group, sizeof group, "%s/group", dir);

	/* Without the files, numbers will do. */
	OK(look("", none, &u, &err));
	EQ(u.uid, 0); EQ(u.gid, 0); STR(u.home, "/"); EQ(u.n_groups, 1); EQ(u.groups[0], 0);
	OK(look("12:34", none, &u, &err));
	EQ(u.uid, 12); EQ(u.gid, 34);
	FAILS(look("bob", none, &u, &err), "unable to find user bob: no matching entries in passwd file");

	put_file(dir, "passwd", "root:x:0:0:root:/root:/bin/sh\nbroken\n\nbob:x:1000:1001:Bob:/home/bob:\nnohome:x:7:7:::\n");
	put_file(dir, "group", "root:x:0:root\nbob:x:1001:\nwheel:x:10:root,bob\naudio:x:29:bob,other\nempty:x:30:\n");
	OK(look("bob", none, &u, &err));
	EQ(u.uid, 1000); EQ(u.gid, 1001); STR(u.home, "/home/bob");
	EQ(u.n_groups, 3); EQ(u.groups[0], 1001); EQ(u.groups[1], 10); EQ(u.groups[2], 29);
	/* By number, the entry's name decides about groups. */
	OK(look("1000", none, &u, &err));
	EQ(u.n_groups, 3);
	/* A group that is given replaces those of the user. */
	OK(look("bob:empty", none, &u, &err));
	EQ(u.gid, 30); EQ(u.n_groups, 1); EQ(u.groups[0], 30);
	OK(look("bob:77", none, &u, &err));
	EQ(u.gid, 77);
	OK(look(":audio", none, &u, &err));
	EQ(u.uid, 0); EQ(u.gid, 29);
	OK(look("nohome", none, &u, &err));
	STR(u.home, "/");
	struct strs add = { 3, (const char *[]){ "empty", "4711", "1001", NULL } };
	OK(look("bob", add, &u, &err));
	EQ(u.n_groups, 5); EQ(u.groups[3], 30); EQ(u.groups[4], 4711);

	FAILS(look("bob:none", none, &u, &err), "unable to find group none: no matching entries in group file");
	FAILS(look("99999999999", none, &u, &err), "uids and gids must be in range 0-2147483647");
	FAILS(look("0:2147483648", none, &u, &err), "uids and gids must be in range");
	FAILS(look("bob", ((struct strs){ 1, (const char *[]){ "no", NULL } }), &u, &err), "Unable to find group no");
	remove_dir(dir);
	return 0;
}
