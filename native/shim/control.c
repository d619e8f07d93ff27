#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "monitor.h"

void control_started(struct client *c)
{
	struct wr w = { 0 };
	size_t at = wr_begin(&w, WIRE_STARTED);
	wr_u32(&w, (uint32_t)M.pid);
	wr_i64(&w, M.started_at);
	wr_str(&w, M.spec.id);
	wr_u32(&w, M.warnings.n);
	for (uint32_t i = 0; i < M.warnings.n; i++)
		wr_str(&w, M.warnings.v[i]);
	wr_end(&w, at);
	client_send_frame(c, &w);
}

void control_exited(struct client *c, int exit_code, bool oom, int64_t at, const char *error)
{
	struct wr w = { 0 };
	size_t frame = wr_begin(&w, WIRE_EXIT);
	wr_i32(&w, exit_code);
	wr_u8(&w, oom);
	wr_i64(&w, at);
	wr_str(&w, error);
	wr_end(&w, frame);
	client_send_frame(c, &w);
}

static void answer(struct client *c, int r, const struct err *err)
{
	if (r < 0)
		client_error(c, err->code == ESRCH ? "NOT_RUNNING" : "INTERNAL", err->msg, -1);
	else
		client_ok(c);
}

static int signal_container(int sig, struct err *err)
{
	if (M.exited || syscall(SYS_pidfd_send_signal, M.pidfd, sig, NULL, 0) < 0)
		return err_set(err, M.exited ? ESRCH : errno, "kill: %s", strerror(M.exited ? ESRCH : errno));
	/* What is frozen cannot die. */
	if (sig == SIGKILL && M.cgroup.frozen)
		return cg_freeze(&M.cgroup, false, err);
	return 0;
}

static void attach(struct client *c, unsigned flags)
{
	client_ok(c);
	stdio_attach(&M.io, c, flags);
	if (!M.released) {
		M.attached++;
		monitor_release();
	}
}

static void send_pids(struct client *c)
{
	struct err err;
	pid_t *pids;
	ssize_t n = cg_pids(&M.cgroup, &pids, &err);
	if (n < 0) {
		answer(c, -1, &err);
		return;
	}
	struct wr w = { 0 };
	size_t at = wr_begin(&w, WIRE_PIDS_ARE);
	wr_u32(&w, (uint32_t)n);
	for (ssize_t i = 0; i < n; i++)
		wr_u32(&w, (uint32_t)pids[i]);
	wr_end(&w, at);
	client_send_frame(c, &w);
	free(pids);
}

static void send_dns(struct client *c)
{
	struct wr w = { 0 };
	bool have = M.dns[0] >= 0 && M.dns[1] >= 0;
	size_t at = wr_begin(&w, WIRE_FDS);
	wr_u8(&w, have ? 2 : 0);
	wr_end(&w, at);
	struct err err;
	if (c->output_len > 0 || w.bad || io_send_fds(c->source.fd, w.buf, w.len, M.dns, have ? 2 : 0, &err) < 0)
		client_kill(c);
	wr_free(&w);
}

void control_request(struct client *c, uint8_t kind, uint8_t *payload, size_t len)
{
	struct rd r = { .at = payload, .end = payload + len, .arena = &(struct arena){ 0 } };
	struct err err = { .msg = "malformed message" };
	if (M.ended || (M.exited && M.started)) {
		client_error(c, "NOT_RUNNING", "container is not running", -1);
		return;
	}
	if (!M.started && kind != WIRE_ATTACH) {
		client_error(c, "UNAVAILABLE", "container is not started yet", -1);
		return;
	}
	switch (kind) {
	case WIRE_WATCH:
		c->watching = true;
		control_started(c);
		break;
	case WIRE_ATTACH: {
		uint8_t flags = rd_u8(&r);
		if (r.bad)
			answer(c, -1, &err);
		else
			attach(c, flags);
		break;
	}
	case WIRE_KILL: {
		int32_t sig = rd_i32(&r);
		answer(c, r.bad ? -1 : signal_container(sig, &err), &err);
		break;
	}
	case WIRE_PAUSE:
	case WIRE_RESUME:
		answer(c, cg_freeze(&M.cgroup, kind == WIRE_PAUSE, &err), &err);
		break;
	case WIRE_RESIZE: {
		uint32_t height = rd_u32(&r), width = rd_u32(&r);
		answer(c, r.bad ? -1 : stdio_resize(&M.io, height, width, &err), &err);
		break;
	}
	case WIRE_EXEC:
		exec_start(c, payload, len);
		break;
	case WIRE_PIDS:
		send_pids(c);
		break;
	case WIRE_UPDATE: {
		struct cgroup g;
		int n = spec_decode_cgroup(&r, &g, &err);
		answer(c, n < 0 ? n : cg_update(&M.cgroup, &g, NULL, NULL, &err), &err);
		arena_free(r.arena);
		break;
	}
	case WIRE_DNS:
		send_dns(c);
		break;
	case WIRE_EXEC_KILL: {
		const char *id = rd_str(&r);
		int32_t sig = rd_i32(&r);
		answer(c, !r.bad && exec_kill(id, sig, &err) ? 0 : -1, &err);
		break;
	}
	case WIRE_EXEC_RESIZE: {
		const char *id = rd_str(&r);
		uint32_t height = rd_u32(&r), width = rd_u32(&r);
		answer(c, !r.bad && exec_resize(id, height, width, &err) ? 0 : -1, &err);
		break;
	}
	default:
		client_error(c, "INVALID", "unknown request", -1);
	}
}
