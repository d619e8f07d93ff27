/* Paths inside a root, mount options, program lookup, the monitor file. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "../shim/state.h"
#include "../src/mounts.h"
#include "../src/process.h"
#include "check.h"

static void in_root(void)
{
	char outside[256], path[512];
	snprintf(outside, sizeof outside, "%s", temp_dir());
	snprintf(path, sizeof path, "%s/root", outside);
	CHECK(mkdir(path, 0755) == 0);
	int root = open(path, O_PATH | O_DIRECTORY);
	CHECK(symlinkat("..", root, "up") == 0 && symlinkat("/abs", root, "link") == 0 && symlinkat("/", root, "slash") == 0);
	CHECK(symlinkat("missing/deep", root, "dangling") == 0);
	int fd;
	struct stat st, other;

	/* "..", however written, stays inside. */
	CHECK((fd = root_make(root, "/../../x/y", true, NULL)) >= 0);
	CHECK(fstatat(fd, "", &st, AT_EMPTY_PATH) == 0 && S_ISDIR(st.st_mode) && fstatat(root, "x/y", &other, 0) == 0);
	EQ(st.st_ino, other.st_ino);
	close(fd);
	/* A link up leads to the root itself. */
	CHECK((fd = root_make(root, "/up/made", true, NULL)) >= 0);
	close(fd);
	CHECK(fstatat(root, "made", &st, 0) == 0);
	snprintf(path, sizeof path, "%s/made", outside);
	CHECK(access(path, F_OK) < 0);
	/* An absolute link is the root's. */
	CHECK(mkdirat(root, "abs", 0755) == 0);
	CHECK((fd = root_make(root, "link/file", false, NULL)) >= 0);
	CHECK(fstatat(root, "abs/file", &st, 0) == 0 && S_ISREG(st.st_mode));
	close(fd);
	/* What exists is opened, whatever it is. */
	CHECK((fd = root_make(root, "/abs/file", true, NULL)) >= 0);
	close(fd);
	CHECK((fd = root_make(root, "/slash/slash/", true, NULL)) >= 0);
	close(fd);
	FAILS(root_make(root, "/abs/file/beneath", true, &err), "Not a directory");
	FAILS(root_make(root, "/dangling", true, &err), "dangling");
	FAILS(root_open(root, "/none", 0, &err), "No such file");
	FAILS(root_open(root, "/link", O_NOFOLLOW | O_DIRECTORY, &err), "open /link");
	close(root);
	remove_dir(outside);
}

static void options(void)
{
	struct mount_options o;
	const char *words[] = { "rbind", "ro", "nosuid", "exec", "rslave", "size=64m", "mode=755", "", NULL };
	struct strs s = { 8, words };
	OK(mount_options_parse(&s, &o, &err));
	CHECK(o.bind && o.recursive);
	EQ(o.flags, MS_RDONLY | MS_NOSUID);
	EQ(o.attr_set, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID);
	EQ(o.attr_clear, MOUNT_ATTR_NOEXEC);
	EQ(o.propagation, MS_SLAVE | MS_REC);
	STR(o.data, "size=64m,mode=755");
	const char *last[] = { "ro", "rw", "noatime", NULL };
	s = (struct strs){ 3, last };
	OK(mount_options_parse(&s, &o, &err));
	EQ(o.flags, MS_NOATIME);
	EQ(o.attr_set, MOUNT_ATTR_NOATIME);
	EQ(o.attr_clear, MOUNT_ATTR_RDONLY | MOUNT_ATTR__ATIME);
	static char big[2000];
	memset(big, 'x', sizeof big - 1);
	const char *much[] = { big, NULL };
	s = (struct strs){ 1, much };
	FAILS(mount_options_parse(&s, &o, &err), "too long");
}

static void lookup(void)
{
	char program[PATH_MAX], dir[256], path[512], env[600];
	struct failure f;
	snprintf(dir, sizeof dir, "%s", temp_dir());
	put_file(dir, "tool", "#!/bin/sh\n");
	put_file(dir, "plain", "");
	snprintf(path, sizeof path, "%s/tool", dir);
	CHECK(chmod(path, 0755) == 0);
	snprintf(env, sizeof env, "PATH=/nowhere:%s", dir);
	const char *vars[] = { "A=b", env, NULL };
	struct strs e = { 2, vars }, empty = { 0 };
	EQ(process_lookup("tool", &e, program, &f), 0);
	STR(program, path);
	EQ(process_lookup(path, &empty, program, &f), 0);
	EQ(process_lookup("plain", &e, program, &f), -1);
	STR(f.err.msg, "exec: \"plain\": executable file not found in $PATH");
	EQ(f.exit_code, 127);
	EQ(process_lookup("", &e, program, &f), -1);
	EQ(process_lookup("tool", &empty, program, &f), -1);
	snprintf(path, sizeof path, "%s/plain", dir);
	EQ(process_lookup(path, &e, program, &f), -1);
	EQ(f.exit_code, 126);
	EQ(process_lookup("/no/such", &e, program, &f), -1);
	STR(f.err.msg, "exec: \"/no/such\": stat /no/such: no such file or directory");
	EQ(f.exit_code, 127);
	remove_dir(dir);
}

static void monitor_file(void)
{
	struct state s;
	char good[] = "1 10 11 12\nid\na/b\nv0 v1\n", cut[] = "1 10 11 12\nid\na/b", climbs[] = "1 1 1 1\nid\n../x\n\n", other[] = "2 1 1 1\nid\na\n\n";
	OK(state_parse(good, &s, &err));
	EQ(s.monitor, 10); EQ(s.init, 11); EQ(s.started_at, 12); STR(s.id, "id"); STR(s.cgroup, "a/b"); STR(s.interfaces, "v0 v1");
	FAILS(state_parse(cut, &s, &err), "damaged");
	FAILS(state_parse(climbs, &s, &err), "damaged");
	FAILS(state_parse(other, &s, &err), "damaged");
}

int main(void)
{
	in_root();
	options();
	lookup();
	monitor_file();
	return 0;
}
