#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <grp.h>
#include <time.h>

#include "monitor.h"

/* As Docker does, wait this long for the end of output that others keep open after an exec's own process has ended. */
#define LINGER_MS 2000

struct exec {
	struct source sync; /* first */
	struct exec *next;
	char *id;
	pid_t helper, pid;
	struct stdio io;
	struct client *client; /* until it is started */
	unsigned flags;
	bool executing, started, exited, told;
	int status;
	int64_t close_at; /* monotonic ms; 0: not yet */
};
static struct exec *all;

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void drop(struct exec *e)
{
	for (struct exec **at = &all; *at != NULL; at = &(*at)->next) {
		if (*at == e) {
			*at = e->next;
			break;
		}
	}
	loop_close(&e->sync);
	stdio_finish(&e->io);
	free(e->id);
	free(e);
}

#define GONE (-2) /* instead of an exit code: the container has ended */

static void late_pid(struct exec *e)
{
	struct sync_message m;
	struct err err;
	while (e->pid == 0) {
		int fd = -1;
		size_t n = 1;
		memset(&m, 0, sizeof m);
		if (io_recv_fds(e->sync.fd, &m, sizeof m - 1, &fd, &n, MSG_DONTWAIT, &err) <= 0)
			return;
		if (fd >= 0)
			close(fd);
		if (m.kind == SYNC_PID)
			e->pid = m.number;
	}
}

static void fail(struct exec *e, const char *message, int exit_code, bool plain)
{
	char text[1024];
	snprintf(text, sizeof text, plain ? "%s" : "OCI runtime exec failed: exec failed: unable to start container process: %s: unknown", message);
	if (e->client != NULL && !e->client->dead) {
		client_error(e->client, exit_code == GONE ? "NOT_RUNNING" : "START_FAILED", text, exit_code < 0 ? -1 : exit_code);
		e->client->closing = true;
		client_rearm(e->client);
	}
	/* The process may have failed before its helper told of it; unreaped, it would keep the container's PID namespace. */
	if (e->helper > 0)
		waitpid(e->helper, NULL, 0);
	late_pid(e);
	if (e->pid > 0) {
		kill(e->pid, SIGKILL);
		waitpid(e->pid, NULL, 0);
	}
	drop(e);
}

static void tell(struct exec *e)
{
	if (e->told)
		return;
	e->told = true;
	int code = WIFSIGNALED(e->status) ? 128 + WTERMSIG(e->status) : WEXITSTATUS(e->status);
	struct wr w = { 0 };
	size_t at = wr_begin(&w, WIRE_EXEC_EXIT);
	wr_str(&w, e->id);
	wr_i32(&w, code);
	wr_i64(&w, io_realtime_ns());
	wr_end(&w, at);
	for (struct client *c = clients_all(); c != NULL && !w.bad; c = c->next)
		if (c->watching && !c->dead)
			client_send(c, w.buf, w.len);
	wr_free(&w);
}

static void reap(struct exec *e)
{
	if (e->helper > 0 && waitpid(e->helper, NULL, WNOHANG) == e->helper)
		e->helper = 0;
	if (e->pid > 0 && !e->exited && waitpid(e->pid, &e->status, WNOHANG) == e->pid)
		e->exited = true;
	if (!e->exited || !e->started || e->close_at != 0)
		return;
	if (!e->io.blocked)
		stdio_drain(&e->io);
	tell(e);
	e->close_at = now_ms() + LINGER_MS;
}

void execs_reap(void)
{
	for (struct exec *e = all; e != NULL; e = e->next)
		reap(e);
}

int execs_timeout(void)
{
	int64_t least = -1, now = now_ms();
	for (struct exec *e = all; e != NULL; e = e->next) {
		if (e->close_at == 0)
			continue;
		int64_t left = stdio_ended(&e->io) ? 0 : e->close_at - now;
		if (least < 0 || left < least)
			least = left < 0 ? 0 : left;
	}
	return (int)least;
}

void execs_tick(void)
{
	for (struct exec *e = all, *next; e != NULL; e = next) {
		next = e->next;
		if (e->close_at == 0 || !(stdio_ended(&e->io) || (now_ms() >= e->close_at && !e->io.blocked)))
			continue;
		drop(e);
	}
}

void execs_end(void)
{
	while (all != NULL) {
		struct exec *e = all;
		if (!e->started) {
			fail(e, "container is not running", GONE, true);
			continue;
		}
		if (!e->exited) {
			/* With the container's PID 1 gone it is dead, or about to be. */
			kill(e->pid, SIGKILL);
			waitpid(e->pid, &e->status, 0);
			e->exited = true;
		}
		stdio_drain(&e->io);
		tell(e);
		drop(e);
	}
}

static void started(struct exec *e)
{
	loop_close(&e->sync);
	e->started = true;
	struct wr w = { 0 };
	size_t at = wr_begin(&w, WIRE_STARTED);
	wr_u32(&w, (uint32_t)e->pid);
	wr_i64(&w, io_realtime_ns());
	wr_str(&w, e->id);
	wr_u32(&w, 0);
	wr_end(&w, at);
	if (e->client != NULL && !e->client->dead) {
		client_send(e->client, w.buf, w.len);
		stdio_attach(&e->io, e->client, e->flags);
	}
	e->client = NULL;
	wr_free(&w);
	stdio_start(&e->io);
	reap(e);
}

static void sync_ready(struct source *s, uint32_t events)
{
	(void)events;
	struct exec *e = (struct exec *)s;
	for (;;) {
		struct sync_message m;
		struct err err;
		int fd = -1;
		size_t n = 1;
		memset(&m, 0, sizeof m);
		ssize_t len = io_recv_fds(s->fd, &m, sizeof m - 1, &fd, &n, MSG_DONTWAIT, &err);
		if (len < 0 && err.code == EAGAIN)
			return;
		if (len < 0 && err.code == ECONNRESET)
			continue; /* as in monitor.c */
		if (len <= 0) {
			if (e->executing)
				started(e);
			else
				fail(e, "the process ended before it could execute", -1, false);
			return;
		}
		switch (m.kind) {
		case SYNC_PID:
			e->pid = m.number;
			break;
		case SYNC_MASTER:
			stdio_master(&e->io, fd);
			break;
		case SYNC_EXECUTING:
			e->executing = true;
			break;
		default:
			fail(e, m.text, m.number, m.kind == SYNC_FAILED_PLAIN);
			return;
		}
	}
}

static int join_namespaces(struct err *err)
{
	const struct namespaces *n = &M.spec.namespaces;
	int flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
	bool user = strcmp(n->user, "host") != 0;
	if (user)
		flags |= CLONE_NEWUSER;
	if (setns(M.pidfd, flags) < 0)
		return err_set(err, errno, "join the container's namespaces: %s", strerror(errno));
	if (user) {
		setgroups(0, NULL);
		if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
			return err_set(err, errno, "become root of the user namespace: %s", strerror(errno));
	}
	return 0;
}

static void __attribute__((noreturn)) exec_process(struct exec_spec *s, int sync, const struct child_stdio *stdio)
{
	struct failure f = { .exit_code = -1 };
	char program[PATH_MAX];
	setsid();
	if (s->terminal) {
		int master = terminal_open(s->console_height, s->console_width, &f.err);
		if (master < 0)
			sync_fail(sync, &f);
		sync_send(sync, SYNC_MASTER, 0, "", master);
		close(master);
	} else if (stdio_install(stdio, &f.err) < 0) {
		sync_fail(sync, &f);
	}
	close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
	struct process p = {
		.args = s->args, .env = s->env, .cwd = s->cwd[0] != '\0' ? s->cwd : "/", .user = s->user,
		.additional_groups = &s->additional_groups, .capabilities = &s->capabilities,
		.filter = s->privileged ? NULL : M.filter, .no_new_privileges = s->no_new_privileges, .umask = &M.spec.umask,
	};
	if (process_enter(&p, program, &f) < 0)
		sync_fail(sync, &f);
	sync_send(sync, SYNC_EXECUTING, 0, "", -1);
	process_exec(&p, program);
	int code = errno;
	dprintf(2, "exec %s: %s\n", program, process_strerror(code));
	_exit(255);
}

/* Joins, then clones the process as a sibling: a child of the monitor inside the PID namespace. */
static void __attribute__((noreturn)) help(struct exec_spec *s, int sync, const struct child_stdio *stdio)
{
	struct failure f = { .exit_code = -1 };
	umask(0);
	/* Nothing of this process may be read by the container it enters. */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	struct clone_args args = { .flags = CLONE_PARENT | CLONE_CLEAR_SIGHAND };
	if (oom_score_adj_set(&f.err) < 0 || rlimits_set(M.spec.rlimits, M.spec.n_rlimits, &f.err) < 0)
		sync_fail(sync, &f);
	if (M.cgroup.host->version == 2) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)M.cgroup.join[0];
	} else if (cg_join_self(&M.cgroup, &f.err) < 0) {
		sync_fail(sync, &f);
	}
	if (join_namespaces(&f.err) < 0) {
		if (f.err.code == ESRCH)
			f = (struct failure){ .err = { .msg = "container is not running" }, .exit_code = GONE, .plain = true };
		sync_fail(sync, &f);
	}
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
	if (pid < 0) {
		err_set(&f.err, errno, "clone3: %s", strerror(errno));
		sync_fail(sync, &f);
	}
	if (pid == 0)
		exec_process(s, sync, stdio);
	sync_send(sync, SYNC_PID, pid, "", -1);
	_exit(0);
}

void exec_start(struct client *c, uint8_t *message, size_t len)
{
	__attribute__((cleanup(arena_free))) struct arena arena = { 0 };
	struct rd r = { .at = message, .end = message + len, .arena = &arena };
	struct exec_spec s;
	struct err err;
	struct child_stdio stdio = { { -1, -1, -1 } };
	int pair[2];
	if (spec_decode_exec(&r, &s, &err) < 0) {
		client_error(c, "INVALID", err.msg, -1);
		return;
	}
	if (M.cgroup.frozen) {
		client_error(c, "CONFLICT", "container is paused, unpause the container before exec", -1);
		return;
	}
	struct exec *e = calloc(1, sizeof *e);
	if (e == NULL || (e->id = strdup(s.id)) == NULL) {
		free(e);
		client_error(c, "INTERNAL", "out of memory", -1);
		return;
	}
	bool want[3] = { s.want_stdin, s.want_stdout, s.want_stderr };
	e->sync = (struct source){ .fd = -1, .ready = sync_ready };
	e->client = c;
	e->flags = (s.want_stdin ? ATTACH_STDIN : 0) | (s.want_stdout ? ATTACH_STDOUT : 0) | (s.want_stderr ? ATTACH_STDERR : 0);
	if (s.terminal)
		e->flags |= ATTACH_STDOUT;
	e->next = all;
	all = e;
	if (stdio_open(&e->io, s.terminal, want, &stdio, &err) < 0) {
		fail(e, err.msg, -1, false);
		return;
	}
	e->io.stdin_once = true;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		err_set(&err, errno, "socketpair: %s", strerror(errno));
		fail(e, err.msg, -1, false);
		return;
	}
	e->helper = fork();
	if (e->helper == 0) {
		close(pair[0]);
		loop_forget();
		help(&s, pair[1], &stdio);
	}
	close(pair[1]);
	for (int i = 0; i < 3; i++)
		io_close_fd(&stdio.fd[i]);
	e->sync.fd = pair[0];
	if (e->helper < 0) {
		fail(e, "fork failed", -1, false);
		return;
	}
	loop_watch(&e->sync, EPOLLIN);
	/* Nothing is read from this client until its stream begins. */
	loop_watch(&c->source, 0);
}

static struct exec *find(const char *id, struct err *err)
{
	for (struct exec *e = all; e != NULL; e = e->next)
		if (strcmp(e->id, id) == 0 && e->started && !e->exited)
			return e;
	err_set(err, ESRCH, "exec is not running");
	return NULL;
}

bool exec_kill(const char *id, int sig, struct err *err)
{
	struct exec *e = find(id, err);
	if (e == NULL)
		return false;
	if (kill(e->pid, sig) < 0) {
		err_set(err, errno, "kill: %s", strerror(errno));
		return false;
	}
	return true;
}

bool exec_resize(const char *id, uint32_t height, uint32_t width, struct err *err)
{
	struct exec *e = find(id, err);
	return e != NULL && stdio_resize(&e->io, height, width, err) == 0;
}
