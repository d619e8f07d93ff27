#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <link.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "../src/caps.h"
#include "monitor.h"

/* Forked beforehand and waiting, so that a start does not wait for a fork. */
#define IDLE 2
/* One that was taken is replaced when its container has most likely been started, or none is left. */
#define REPLACE_MS 15

static int listening = -1, lock = -1;
static int lifeline[2]; /* its end tells idle monitors that the spawner is gone */
static int notify[2];   /* an idle monitor says that it is taken: {pid, 0}; or {pid, 1}: end */
static pid_t idle[IDLE];

/* Touches pages now that would be touched on the way to a start. Advice: an old kernel does not know it. */
static void touch(uintptr_t from, uintptr_t to, int advice)
{
	uintptr_t mask = (uintptr_t)sysconf(_SC_PAGESIZE) - 1;
	from &= ~mask;
	madvise((void *)from, ((to + mask) & ~mask) - from, advice);
}

/* Code and constants are read, variables are written. */
static int touch_program(struct dl_phdr_info *info, size_t size, void *ctx)
{
	(void)size;
	(void)ctx;
	uintptr_t constant_end = 0; /* of variables that the loader made constant */
	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_GNU_RELRO)
			constant_end = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uintptr_t from = info->dlpi_addr + p->p_vaddr, to = from + p->p_memsz;
		if (p->p_type != PT_LOAD)
			continue;
		if (p->p_flags & PF_W)
			touch(from < constant_end && constant_end < to ? constant_end : from, to, MADV_POPULATE_WRITE);
		else
			touch(from, to, MADV_POPULATE_READ);
	}
	return 0;
}

static void __attribute__((noreturn)) wait_for_work(void)
{
	close(lock); /* held by the spawner alone */
	close(lifeline[1]);
	close(notify[0]);
	setsid();
	uintptr_t stack = (uintptr_t)__builtin_frame_address(0);
	dl_iterate_phdr(touch_program, NULL);
	touch(stack - 48 * 1024, stack, MADV_POPULATE_WRITE);
	/* Exclusive: a connection wakes one of those that wait. */
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event work = { .events = EPOLLIN | EPOLLEXCLUSIVE, .data.fd = listening };
	struct epoll_event gone = { .events = 0, .data.fd = lifeline[0] };
	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listening, &work) < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, lifeline[0], &gone) < 0)
		_exit(1);
	for (;;) {
		struct epoll_event e;
		if (epoll_wait(epoll, &e, 1, -1) < 1)
			continue;
		if (e.data.fd == lifeline[0])
			_exit(0);
		int conn = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
		if (conn < 0)
			continue; /* the other one was faster */
		close(epoll);
		int32_t message[2] = { getpid(), 0 };
		if (write(notify[1], message, sizeof message) < 0)
			_exit(1);
		close(listening);
		close(lifeline[0]);
		monitor_serve(conn, notify[1]);
	}
}

static int missing(void)
{
	int n = 0;
	for (int i = 0; i < IDLE; i++)
		n += idle[i] <= 0;
	return n;
}

static void fill(void)
{
	for (int i = 0; i < IDLE; i++) {
		if (idle[i] > 0)
			continue;
		idle[i] = fork();
		if (idle[i] == 0)
			wait_for_work();
	}
}

static void forget(pid_t pid)
{
	for (int i = 0; i < IDLE; i++)
		if (idle[i] == pid)
			idle[i] = 0;
}

static int listen_on(const char *path, ino_t *inode, int *dirfd, char **name, struct err *err)
{
	char *copy = strdup(path), *other = strdup(path);
	if (copy == NULL || other == NULL)
		return err_set(err, ENOMEM, "out of memory");
	*name = basename(copy);
	*dirfd = open(dirname(other), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*dirfd < 0)
		return err_set(err, errno, "open the directory of %s: %s", path, strerror(errno));
	char file[256];
	snprintf(file, sizeof file, "%.240s.lock", *name);
	lock = openat(*dirfd, file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (lock < 0)
		return err_set(err, errno, "open %s: %s", file, strerror(errno));
	if (flock(lock, LOCK_EX | LOCK_NB) < 0)
		return err_set(err, EAGAIN, "another spawner serves %s", path);
	listening = io_unix_listen_at(*dirfd, *name, err);
	if (listening < 0 || io_set_nonblock(listening, err) < 0)
		return -1;
	struct stat st;
	if (fstatat(*dirfd, *name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(err, errno, "stat %s: %s", path, strerror(errno));
	*inode = st.st_ino;
	return 0;
}

static void read_cgroups(void)
{
	size_t size = 1 << 20;
	char *text = malloc(size);
	if (text != NULL && io_read_file_at(AT_FDCWD, "/proc/self/mountinfo", text, size, NULL) > 0)
		cg_detect(text, &host_cgroups);
	free(text);
}

static void prepare_filter(void)
{
	/* Docker's default capabilities, as in libs/runtime/src/defaults.ts. */
	static const char *const DEFAULT[] = {
		"CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP",
		"NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
	};
	struct strs names = { sizeof DEFAULT / sizeof *DEFAULT, (const char **)DEFAULT };
	uint64_t caps;
	if (caps_parse(&names, &caps, NULL) == 0)
		seccomp_prepare(caps);
}

/* When memory runs out, monitors go last: with one, its container and what is known of it would be lost. */
static void lower_oom_score(void)
{
	static char before[24];
	if (io_read_file_at(AT_FDCWD, "/proc/self/oom_score_adj", before, sizeof before, NULL) > 0 && atoi(before) > -900 &&
	    io_write_file_at(AT_FDCWD, "/proc/self/oom_score_adj", "-900", NULL) == 0)
		inherited_oom_score_adj = before;
}

static int detach(struct err *err)
{
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	setsid();
	umask(022);
	prctl(PR_SET_NAME, "gantry-shim", 0, 0, 0);
	return chdir("/") < 0 ? err_set(err, errno, "chdir /: %s", strerror(errno)) : 0;
}

static void quiet(void)
{
	int null = open("/dev/null", O_RDWR);
	for (int i = 0; i < 3; i++)
		dup2(null, i);
	if (null > 2)
		close(null);
}

static void serve(int dirfd, const char *name, ino_t inode)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	/* Without its socket's name nobody can find this spawner: it ends. */
	int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	char directory[32], events[4096];
	snprintf(directory, sizeof directory, "/proc/self/fd/%d", dirfd);
	inotify_add_watch(watch, directory, IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF);
	struct pollfd p[3] = { { .fd = notify[0], .events = POLLIN },
			       { .fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), .events = POLLIN },
			       { .fd = watch, .events = POLLIN } };
	for (;;) {
		if (missing() == IDLE)
			fill();
		if (poll(p, 3, missing() > 0 ? REPLACE_MS : -1) == 0)
			fill();
		while (read(watch, events, sizeof events) > 0) {
		}
		int32_t message[2];
		struct signalfd_siginfo info;
		while (read(notify[0], message, sizeof message) == (ssize_t)sizeof message) {
			forget(message[0]);
			if (message[1] == 1)
				return;
		}
		while (read(p[1].fd, &info, sizeof info) == (ssize_t)sizeof info)
			if (info.ssi_signo == SIGTERM)
				return;
		for (pid_t pid; (pid = waitpid(-1, NULL, WNOHANG)) > 0;)
			forget(pid);
		struct stat st;
		if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_ino != inode)
			return;
	}
}

int spawner_main(int argc, char **argv)
{
	struct err err;
	const char *path = NULL;
	for (int i = 0; i + 1 < argc; i += 2)
		if (strcmp(argv[i], "--socket") == 0)
			path = argv[i + 1];
	if (path == NULL) {
		fprintf(stderr, "usage: gantry-shim spawner --socket PATH\n");
		return 2;
	}
	ino_t inode = 0;
	int dirfd = -1;
	char *name = NULL;
	if (listen_on(path, &inode, &dirfd, &name, &err) < 0 || detach(&err) < 0) {
		if (err.code == EAGAIN) {
			printf("taken\n");
			return 0;
		}
		fprintf(stderr, "gantry-shim: %s\n", err.msg);
		return 1;
	}
	lower_oom_score();
	read_cgroups();
	prepare_filter();
	if (pipe2(lifeline, O_CLOEXEC) < 0 || pipe2(notify, O_CLOEXEC | O_NONBLOCK) < 0) {
		perror("gantry-shim: pipe");
		return 1;
	}
	/* Connections wait in the backlog from here on. Whoever started this waits for the end of the two pipes. */
	printf("ready\n");
	fflush(stdout);
	quiet();
	serve(dirfd, name, inode);
	struct stat st;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == inode)
		unlinkat(dirfd, name, 0);
	return 0;
}
