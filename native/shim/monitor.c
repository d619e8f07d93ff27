#include "monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "../src/caps.h"
#include "state.h"

struct monitor M;
struct cg_host host_cgroups;
const char *inherited_oom_score_adj;

static int sync_parent = -1;

void monitor_warn(void *ctx, const char *text)
{
	(void)ctx;
	const char **v = realloc(M.warnings.v, (M.warnings.n + 1) * sizeof *v);
	if (v == NULL)
		return;
	M.warnings.v = v;
	char *copy = strdup(text);
	if (copy != NULL)
		M.warnings.v[M.warnings.n++] = copy;
}

/* Undoes what was made so far and says why; this process has no further purpose. */
static void __attribute__((noreturn)) give_up(const char *code, const char *message, int exit_code)
{
	if (M.pid > 0) {
		kill(M.pid, SIGKILL);
		waitpid(M.pid, NULL, 0);
	}
	network_leave(&M.spec);
	if (M.cgroup.host != NULL) {
		cg_kill(&M.cgroup, NULL);
		cg_remove(&M.cgroup, NULL);
	}
	if (M.lock >= 0) {
		unlinkat(M.dir, "shim.sock", 0);
		if (ftruncate(M.lock, 0) < 0)
			exit_code = -1;
		close(M.lock); /* before the answer, after which the start may be tried again */
	}
	if (M.starter != NULL)
		client_error(M.starter, code, message, exit_code);
	_exit(1);
}

static void __attribute__((noreturn)) give_up_wrapped(const char *message, int exit_code)
{
	char text[1024];
	snprintf(text, sizeof text,
		 "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: "
		 "unable to start container process: error during container init: %s: unknown",
		 message);
	give_up("START_FAILED", text, exit_code);
}

void monitor_release(void)
{
	char go = SYNC_GO;
	if (!M.prepared || M.released || M.attached < M.wanted)
		return;
	M.released = true;
	stdio_start(&M.io);
	if (send(sync_parent, &go, 1, MSG_NOSIGNAL) < 0)
		return; /* it has failed, and what it said comes next */
}

static void started(void)
{
	struct err err;
	loop_close(&M.sync);
	M.started = true;
	if (state_write(M.lock, &M.spec, getpid(), M.pid, M.started_at, &err) < 0)
		monitor_warn(NULL, err.msg);
	if (M.starter != NULL) {
		M.starter->watching = true;
		control_started(M.starter);
	}
}

static bool executing;

/* What the container's first process has to say before it runs. */
static void sync_ready(struct source *s, uint32_t events)
{
	(void)events;
	while (s->fd >= 0) {
		struct sync_message m;
		struct err err;
		int fd = -1;
		size_t n = 1;
		memset(&m, 0, sizeof m);
		ssize_t len = io_recv_fds(s->fd, &m, sizeof m - 1, &fd, &n, MSG_DONTWAIT, &err);
		if (len < 0 && err.code == EAGAIN)
			return;
		/* It has closed without reading all that was sent; what it said before is still to come. */
		if (len < 0 && err.code == ECONNRESET)
			continue;
		if (len <= 0 && executing) {
			started();
			return;
		}
		if (len <= 0)
			give_up_wrapped("the process ended before it could execute", -1);
		switch (m.kind) {
		case SYNC_MASTER:
			stdio_master(&M.io, fd);
			if (M.released)
				stdio_start(&M.io);
			break;
		case SYNC_WARNING:
			monitor_warn(NULL, m.text);
			break;
		case SYNC_EXECUTING:
			M.started_at = io_realtime_ns();
			executing = true;
			break;
		case SYNC_FAILED_PLAIN:
			give_up("START_FAILED", m.text, m.number);
		default:
			give_up_wrapped(m.text, m.number);
		}
	}
}

static void children_ready(struct source *s, uint32_t events)
{
	(void)events;
	struct signalfd_siginfo info;
	while (read(s->fd, &info, sizeof info) == (ssize_t)sizeof info) {
	}
	if (!M.exited && waitpid(M.pid, &M.status, WNOHANG) == M.pid)
		M.exited = true;
	execs_reap();
}

static void listen_ready(struct source *s, uint32_t events)
{
	(void)events;
	int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		client_new(fd);
}

static int open_dir(struct err *err)
{
	M.dir = open(M.spec.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (M.dir < 0)
		return err_set(err, errno, "open %s: %s", M.spec.dir, strerror(errno));
	M.lock = state_lock(M.dir, 15000, err);
	if (M.lock < 0)
		return -1;
	unlinkat(M.dir, "exit", 0);
	if (state_write(M.lock, &M.spec, getpid(), 0, 0, err) < 0)
		return -1;
	M.listen = (struct source){ .fd = io_unix_listen_at(M.dir, "shim.sock", err), .ready = listen_ready };
	if (M.listen.fd < 0)
		return -1;
	if (io_set_nonblock(M.listen.fd, err) < 0)
		return -1;
	loop_watch(&M.listen, EPOLLIN);
	return M.spec.log ? log_open(&M.log, M.dir, M.spec.log_bound, err) : 0;
}

static int choose_filter(struct err *err)
{
	const struct spec *s = &M.spec;
	uint64_t caps;
	if (s->seccomp.mode == SECCOMP_UNCONFINED)
		return 0;
	if (caps_parse(&s->capabilities, &caps, err) < 0)
		return -1;
	if (s->seccomp.mode == SECCOMP_DEFAULT && (M.filter = seccomp_prepared(caps)) != NULL)
		return 0;
	M.filter = &M.own_filter;
	return s->seccomp.mode == SECCOMP_DEFAULT ? seccomp_build_default(caps, &M.own_filter, err)
						  : seccomp_build_custom(&s->seccomp, &M.own_filter, err);
}

struct ns { const char *const *what; uint64_t flag; };

/* Flags for those that are new; descriptors for those to join, the PID namespace's apart (a child is born into it). */
static int namespaces(uint64_t *flags, struct child_args *args, int *pid_ns, struct err *err)
{
	const struct namespaces *n = &M.spec.namespaces;
	const struct ns all[] = {
		{ &n->user, CLONE_NEWUSER }, { &n->network, CLONE_NEWNET }, { &n->ipc, CLONE_NEWIPC },
		{ &n->uts, CLONE_NEWUTS },   { &n->cgroup, 0 },		     { &n->pid, CLONE_NEWPID },
	};
	*flags = CLONE_NEWNS;
	*pid_ns = -1;
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		const char *what = *all[i].what;
		if (strcmp(what, "new") == 0) {
			*flags |= all[i].flag;
		} else if (what[0] == '/') {
			int fd = open(what, O_RDONLY | O_CLOEXEC);
			if (fd < 0)
				return err_set(err, errno, "open namespace %s: %s", what, strerror(errno));
			*(all[i].what == &n->pid ? pid_ns : &args->namespaces[i]) = fd;
		} else if (strcmp(what, "host") != 0) {
			return err_set(err, EINVAL, "invalid namespace \"%s\"", what);
		}
	}
	return 0;
}

static pid_t clone_child(uint64_t flags, int pid_ns, struct err *err)
{
	struct clone_args args = { .flags = flags | CLONE_PIDFD | CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD, .pidfd = (uint64_t)&M.pidfd };
	if (M.cgroup.host->version == 2) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)M.cgroup.join[0];
	}
	autoclose home = pid_ns >= 0 ? open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC) : -1;
	if (pid_ns >= 0 && (home < 0 || setns(pid_ns, CLONE_NEWPID) < 0))
		return err_set(err, errno, "join a PID namespace: %s", strerror(errno));
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
	int saved = errno;
	if (pid == 0)
		return 0;
	if (pid_ns >= 0 && setns(home, CLONE_NEWPID) < 0)
		return err_set(err, errno, "return to the host's PID namespace: %s", strerror(errno));
	return pid < 0 ? err_set(err, saved, "clone3: %s", strerror(saved)) : pid;
}

static int launch(struct err *err)
{
	struct child_args args = { .namespaces = { -1, -1, -1, -1, -1, -1, -1, -1 } };
	uint64_t flags;
	int pid_ns, pair[2];
	bool want[3] = { M.spec.open_stdin, true, true };
	if (stdio_open(&M.io, M.spec.terminal, want, &args.stdio, err) < 0 || choose_filter(err) < 0)
		return -1;
	M.io.stdin_once = M.spec.stdin_once;
	M.io.log = M.spec.log ? &M.log : NULL;
	/* Limits before the process: between denying all devices and allowing some, it could open none. */
	if (cg_create(&M.cgroup, &host_cgroups, &M.spec.cgroup, err) < 0 ||
	    cg_apply(&M.cgroup, &M.spec.cgroup, true, monitor_warn, NULL, err) < 0 || namespaces(&flags, &args, &pid_ns, err) < 0)
		return -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(err, errno, "socketpair: %s", strerror(errno));
	args.sync = pair[1];
	M.pid = clone_child(flags, pid_ns, err);
	if (M.pid == 0) {
		close(pair[0]);
		loop_forget();
		container_main(&args);
	}
	close(pair[1]);
	for (int i = 0; i < 3; i++)
		io_close_fd(&args.stdio.fd[i]);
	for (int i = 0; i < 8; i++)
		io_close_fd(&args.namespaces[i]);
	io_close_fd(&pid_ns);
	if (M.pid < 0)
		return -1;
	sync_parent = pair[0];
	M.sync = (struct source){ .fd = pair[0], .ready = sync_ready };
	if (strcmp(M.spec.namespaces.user, "new") == 0 && userns_prepare(&M.spec, M.pid, sync_parent, err) < 0)
		return -1;
	return network_join(&M.spec, M.pid, M.dns, err);
}

static void write_exit(int exit_code, bool oom, int64_t at)
{
	char text[128];
	int n = snprintf(text, sizeof text, "1 %d %d %lld\n\n", exit_code, oom, (long long)at);
	struct err err;
	/* A full disk may have room again soon; the exit must not be lost. */
	for (int i = 0; i < 600 && io_replace_file_at(M.dir, "exit", text, (size_t)n, &err) < 0; i++) {
		if (err.code != ENOSPC && err.code != EDQUOT)
			break;
		nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
	}
}

static void finish(void)
{
	int64_t at = io_realtime_ns();
	int exit_code = WIFSIGNALED(M.status) ? 128 + WTERMSIG(M.status) : WEXITSTATUS(M.status);
	bool oom = cg_oom_killed(&M.cgroup);
	if (strcmp(M.spec.namespaces.pid, "new") != 0)
		cg_kill(&M.cgroup, NULL);
	M.ended = true;
	stdio_drain(&M.io);
	execs_end();
	stdio_finish(&M.io);
	write_exit(exit_code, oom, at);
	unlinkat(M.dir, "shim.sock", 0);
	for (struct client *c = clients_all(); c != NULL; c = c->next)
		if (c->watching && !c->dead)
			control_exited(c, exit_code, oom, at, "");
	loop_close(&M.listen);
	network_leave(&M.spec);
	cg_remove(&M.cgroup, NULL);
	/* Whoever starts this container again waits for the lock. */
	io_close_fd(&M.lock);
}

/* Clients that are still reading get the rest, as long as they do read. */
static void linger(void)
{
	for (int idle = 0; clients_pending() && idle < 3;) {
		idle = loop_once(10000) == 0 ? idle + 1 : 0;
		clients_sweep();
	}
	_exit(0);
}

static void __attribute__((noreturn)) run(struct rd *r, int conn)
{
	struct err err = { 0 };
	uint32_t version = rd_u32(r);
	M.wanted = rd_u32(r);
	M.dir = M.lock = M.pidfd = M.dns[0] = M.dns[1] = M.log.fd = -1;
	M.listen.fd = M.children.fd = M.sync.fd = -1;
	if (loop_init(&err) < 0 || (M.starter = client_new(conn)) == NULL)
		_exit(1);
	if (version != WIRE_VERSION) {
		client_error(M.starter, "INTERNAL", "the running spawner is of another version: end it", -1);
		_exit(1);
	}
	if (spec_decode(r, &M.spec, &err) < 0) {
		client_error(M.starter, "INVALID", err.msg, -1);
		_exit(1);
	}
	char name[16];
	snprintf(name, sizeof name, "gy-%.12s", M.spec.id);
	prctl(PR_SET_NAME, name, 0, 0, 0);
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	M.children = (struct source){ .fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), .ready = children_ready };
	loop_watch(&M.children, EPOLLIN);
	if (open_dir(&err) < 0)
		give_up(M.lock < 0 && err.code == EAGAIN ? "RUNNING" : "START_FAILED", err.msg, -1);
	if (M.wanted > 0) {
		struct wr w = { 0 };
		wr_end(&w, wr_begin(&w, WIRE_LISTENING));
		client_send_frame(M.starter, &w);
	}
	if (launch(&err) < 0) {
		/* The child may have failed first, with the better reason. */
		if (M.sync.fd >= 0)
			sync_ready(&M.sync, EPOLLIN);
		give_up_wrapped(err.msg, -1);
	}
	M.prepared = true;
	loop_watch(&M.sync, EPOLLIN);
	monitor_release();
	while (!M.exited || !M.started) {
		loop_once(execs_timeout());
		execs_tick();
		clients_sweep();
		/* Nobody is left to attach what was announced. */
		if (!M.released && M.starter == NULL)
			give_up("START_FAILED", "", -1);
		if (M.exited && !M.started)
			sync_ready(&M.sync, EPOLLIN);
	}
	finish();
	linger();
	_exit(0);
}

/* For a monitor that was killed: ends what is left of its container and says how it ended. */
static void __attribute__((noreturn)) reap(struct rd *r, int conn)
{
	struct err err = { .msg = "malformed message" };
	const char *dir = rd_str(r);
	struct client *c;
	if (loop_init(&err) < 0 || (c = client_new(conn)) == NULL)
		_exit(1);
	struct state state;
	int64_t at = io_realtime_ns();
	if (!r->bad && state_reap(dir, &host_cgroups, at, &state, &err) == 0) {
		if (state.started_at == 0)
			client_error(c, "NOT_FOUND", "container was never started", -1);
		else
			control_exited(c, 137, false, at, STATE_KILLED);
	} else {
		client_error(c, err.code == EAGAIN ? "RUNNING" : err.code == ENOENT ? "NOT_FOUND" : "INTERNAL", err.msg, -1);
	}
	_exit(0);
}

void monitor_serve(int conn, int notify)
{
	struct timeval limit = { .tv_sec = 10 };
	uint8_t header[WIRE_HEADER];
	setsockopt(conn, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	if (io_read_full(conn, header, sizeof header, NULL) < 0)
		_exit(0);
	uint32_t len = header[0] | header[1] << 8 | header[2] << 16 | (uint32_t)header[3] << 24;
	if (len == 0 || len > WIRE_MAX_FRAME || (M.message = malloc(len)) == NULL || io_read_full(conn, M.message, len - 1, NULL) < 0)
		_exit(1);
	struct rd r = { .at = M.message, .end = M.message + len - 1, .arena = &M.arena };
	switch (header[4]) {
	case WIRE_START:
		close(notify);
		run(&r, conn);
	case WIRE_REAP:
		reap(&r, conn);
	case WIRE_END: {
		int32_t message[2] = { getpid(), 1 };
		if (write(notify, message, sizeof message) < 0)
			_exit(1);
		/* The spawner's end closes this pipe's other side. */
		struct pollfd p = { .fd = notify, .events = 0 };
		poll(&p, 1, 5000);
	}
	/* fallthrough */
	case WIRE_PING: {
		struct wr w = { 0 };
		wr_end(&w, wr_begin(&w, WIRE_OK));
		io_write_full(conn, w.buf, w.len, NULL);
		_exit(0);
	}
	default:
		_exit(1);
	}
}
