#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <grp.h>
#include <termios.h>
#include <unistd.h>

#include "../src/mounts.h"
#include "monitor.h"

void sync_send(int sock, enum sync_kind kind, int number, const char *text, int fd)
{
	struct sync_message m = { .kind = kind, .number = number };
	snprintf(m.text, sizeof m.text, "%s", text);
	io_send_fds(sock, &m, offsetof(struct sync_message, text) + strlen(m.text) + 1, &fd, fd >= 0, NULL);
}

void sync_fail(int sock, const struct failure *f)
{
	sync_send(sock, f->plain ? SYNC_FAILED_PLAIN : SYNC_FAILED, f->exit_code, f->err.msg, -1);
	_exit(127);
}

int terminal_open(uint32_t height, uint32_t width, struct err *err)
{
	autoclose master = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (master < 0)
		return err_set(err, errno, "open a terminal: %s", strerror(errno));
	struct winsize size = { .ws_row = (unsigned short)height, .ws_col = (unsigned short)width };
	int unlock = 0;
	if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
		return err_set(err, errno, "unlock the terminal: %s", strerror(errno));
	autoclose slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return err_set(err, errno, "open the terminal's other side: %s", strerror(errno));
	if (height > 0 && width > 0 && ioctl(slave, TIOCSWINSZ, &size) < 0)
		return err_set(err, errno, "size the terminal: %s", strerror(errno));
	if (ioctl(slave, TIOCSCTTY, 0) < 0)
		return err_set(err, errno, "take the terminal: %s", strerror(errno));
	for (int i = 0; i < 3; i++)
		if (dup2(slave, i) < 0)
			return err_set(err, errno, "dup2: %s", strerror(errno));
	int keep = master;
	master = -1;
	return keep;
}

int stdio_install(const struct child_stdio *stdio, struct err *err)
{
	autoclose null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int i = 0; i < 3; i++) {
		int fd = stdio->fd[i] >= 0 ? stdio->fd[i] : null;
		if (fd < 0 || dup2(fd, i) < 0)
			return err_set(err, errno, "set up stdio: %s", strerror(errno));
	}
	return 0;
}

static int is_new(const char *ns) { return strcmp(ns, "new") == 0; }

/* Waits for a byte of the monitor; answers the descriptor that came with it, or -1. */
static int wait_for(int sock, char what)
{
	char got = 0;
	int fd = -1;
	size_t n = 1;
	if (io_recv_fds(sock, &got, 1, &fd, &n, 0, NULL) != 1 || got != what)
		_exit(127); /* the monitor is gone, or has given up */
	return n == 1 ? fd : -1;
}

static int isolate(const struct child_args *args, struct err *err)
{
	if (M.cgroup.host->version == 1 && cg_join_self(&M.cgroup, err) < 0)
		return -1;
	if (is_new(M.spec.namespaces.cgroup) && unshare(CLONE_NEWCGROUP) < 0)
		return err_set(err, errno, "unshare the cgroup namespace: %s", strerror(errno));
	for (int i = 0; i < 8; i++)
		if (args->namespaces[i] >= 0 && setns(args->namespaces[i], 0) < 0)
			return err_set(err, errno, "join a namespace: %s", strerror(errno));
	if (setsid() < 0 && errno != EPERM)
		return err_set(err, errno, "setsid: %s", strerror(errno));
	if (is_new(M.spec.namespaces.uts)) {
		const struct spec *s = &M.spec;
		if (s->hostname[0] != '\0' && sethostname(s->hostname, strlen(s->hostname)) < 0)
			return err_set(err, errno, "sethostname: %s", process_strerror(errno));
		if (s->domainname[0] != '\0' && setdomainname(s->domainname, strlen(s->domainname)) < 0)
			return err_set(err, errno, "setdomainname: %s", process_strerror(errno));
	}
	return 0;
}

/* Mounts made here stay here. Those of the host come in only where a bind mount asks for it. */
static int seal_mounts(struct err *err)
{
	unsigned long propagation = MS_PRIVATE;
	for (uint32_t i = 0; i < M.spec.n_mounts; i++) {
		const struct strs *o = &M.spec.mounts[i].options;
		for (uint32_t j = 0; j < o->n; j++) {
			if (strcmp(o->v[j], "shared") == 0 || strcmp(o->v[j], "rshared") == 0)
				propagation = 0;
			else if ((strcmp(o->v[j], "slave") == 0 || strcmp(o->v[j], "rslave") == 0) && propagation != 0)
				propagation = MS_SLAVE;
		}
	}
	if (propagation != 0 && mount(NULL, "/", NULL, propagation | MS_REC, NULL) < 0)
		return err_set(err, errno, "make mounts private: %s", strerror(errno));
	return 0;
}

/* pivot_root needs parents that are not shared; only those above the new root are touched. */
static int unshare_parents(int root, struct err *err)
{
	if (fchdir(root) < 0 || mount(NULL, ".", NULL, MS_PRIVATE, NULL) < 0)
		return err_set(err, errno, "make the root private: %s", strerror(errno));
	char path[PATH_MAX];
	if (getcwd(path, sizeof path) == NULL)
		return err_set(err, errno, "getcwd: %s", strerror(errno));
	for (char *slash; (slash = strrchr(path, '/')) != NULL;) {
		*(slash == path ? slash + 1 : slash) = '\0';
		mount(NULL, path, NULL, MS_PRIVATE, NULL); /* EINVAL where nothing is mounted */
		if (slash == path)
			break;
	}
	return 0;
}

static int pivot(int root, struct err *err)
{
	autoclose old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (old < 0)
		return err_set(err, errno, "open /: %s", strerror(errno));
	if (unshare_parents(root, err) < 0)
		return -1;
	if (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
		return err_set(err, errno, "pivot_root: %s", strerror(errno));
	/* The old root now lies on the new one; its unmounting must not reach the host. */
	if (fchdir(old) < 0 || mount(NULL, ".", NULL, MS_SLAVE | MS_REC, NULL) < 0 || umount2(".", MNT_DETACH) < 0)
		return err_set(err, errno, "leave the old root: %s", strerror(errno));
	if (chdir("/") < 0)
		return err_set(err, errno, "chdir /: %s", strerror(errno));
	return 0;
}

/* Before the host's files are out of reach. In a user namespace the monitor, who may, makes the root and what is bound. */
static int build_root(const struct child_args *args, int passed, struct err *err)
{
	struct spec *s = &M.spec;
	int root = passed;
	if (seal_mounts(err) < 0)
		return -1;
	if (passed < 0 && (root = mount_rootfs(&s->rootfs, err)) < 0)
		return -1;
	/* On top of the old root, where it is in nobody's way: it is reached by its descriptor. */
	if (passed >= 0 && move_mount(passed, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_set(err, errno, "attach the root: %s", strerror(errno));
	for (uint32_t i = 0; i < s->n_mounts; i++) {
		autoclose source = -1;
		if (passed >= 0 && mount_is_bind(&s->mounts[i]))
			source = wait_for(args->sync, SYNC_SOURCE);
		if (mount_one(root, &s->mounts[i], source, &M.cgroup, err) < 0)
			return -1;
	}
	return make_devices(root, s, err) < 0 ? -1 : root;
}

static int console(int root, struct err *err)
{
	autoclose at = root_make(root, "/dev/console", false, err);
	if (at < 0)
		return -1;
	char name[32];
	if (ttyname_r(0, name, sizeof name) != 0)
		return err_set(err, errno, "name of the terminal: %s", strerror(errno));
	autoclose slave = open(name, O_PATH | O_CLOEXEC);
	autoclose mnt = slave < 0 ? -1 : mount_clone(slave, false, err);
	return mnt < 0 ? err_set(err, errno, "copy %s: %s", name, strerror(errno)) : mount_attach(mnt, at, err);
}

static int finish_root(int root, struct err *err)
{
	struct spec *s = &M.spec;
	struct masks masks = { -1, -1 };
	for (uint32_t i = 0; i < s->readonly_paths.n; i++)
		if (readonly_path(root, s->readonly_paths.v[i], err) < 0)
			return -1;
	for (uint32_t i = 0; i < s->masked_paths.n; i++)
		if (mask_path(root, s->masked_paths.v[i], &masks, err) < 0)
			return -1;
	if (s->readonly_rootfs) {
		struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
		if (mount_setattr(root, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0)
			return err_set(err, errno, "make the root read-only: %s", strerror(errno));
	}
	return 0;
}

int oom_score_adj_set(struct err *err)
{
	char text[24];
	const char *value = inherited_oom_score_adj;
	if (M.spec.oom_score_adj.set) {
		snprintf(text, sizeof text, "%lld", (long long)M.spec.oom_score_adj.v);
		value = text;
	}
	return value == NULL ? 0 : io_write_file_at(AT_FDCWD, "/proc/self/oom_score_adj", value, err);
}

void container_main(const struct child_args *args)
{
	struct spec *s = &M.spec;
	struct failure f = { .exit_code = -1 };
	int passed = -1;
	umask(0);
	/* In the PID namespace of others, nothing of this process may be read by them. */
	if (!is_new(s->namespaces.pid))
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	/* Before the user namespace, in which neither may be raised. */
	if (oom_score_adj_set(&f.err) < 0 || rlimits_set(s->rlimits, s->n_rlimits, &f.err) < 0)
		sync_fail(args->sync, &f);
	if (is_new(s->namespaces.user)) {
		passed = wait_for(args->sync, SYNC_MAPPED);
		if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0) {
			err_set(&f.err, errno, "become root of the user namespace: %s", strerror(errno));
			sync_fail(args->sync, &f);
		}
		setgroups(0, NULL);
	}
	if (isolate(args, &f.err) < 0)
		sync_fail(args->sync, &f);
	int root = build_root(args, passed, &f.err);
	if (root < 0 || sysctls_set(root, s, &f.err) < 0 || pivot(root, &f.err) < 0)
		sync_fail(args->sync, &f);
	if (s->terminal) {
		int master = terminal_open(s->console_height, s->console_width, &f.err);
		if (master < 0 || console(root, &f.err) < 0)
			sync_fail(args->sync, &f);
		sync_send(args->sync, SYNC_MASTER, 0, "", master);
		close(master);
	} else if (stdio_install(&args->stdio, &f.err) < 0) {
		sync_fail(args->sync, &f);
	}
	if (finish_root(root, &f.err) < 0)
		sync_fail(args->sync, &f);
	close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);

	struct process p = {
		.args = s->args, .env = s->env, .cwd = s->cwd, .user = s->user,
		.additional_groups = &s->additional_groups, .capabilities = &s->capabilities, .filter = M.filter,
		.no_new_privileges = s->no_new_privileges, .umask = &s->umask,
	};
	char program[PATH_MAX];
	if (process_enter(&p, program, &f) < 0)
		sync_fail(args->sync, &f);
	/* Set after the change of user, which clears it; a monitor that is gone by now is noticed in the wait. */
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	wait_for(args->sync, SYNC_GO);
	if (s->init && init_fork(args->sync, &f.err) < 0)
		sync_fail(args->sync, &f);
	sync_send(args->sync, SYNC_EXECUTING, 0, "", -1);
	process_exec(&p, program);
	/* Docker's containers have started by now: this is output and exit code of theirs. */
	int code = errno;
	dprintf(2, "exec %s: %s\n", program, process_strerror(code));
	_exit(255);
}
