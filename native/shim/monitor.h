#ifndef GANTRY_MONITOR_H
#define GANTRY_MONITOR_H

#include <stdbool.h>
#include <sys/types.h>

#include "../src/cgroup.h"
#include "../src/io.h"
#include "../src/process.h"
#include "../src/seccomp.h"
#include "../src/spec.h"
#include "log.h"
#include "loop.h"

/* What the spawner finds out once for all monitors. */
extern struct cg_host host_cgroups;
/* What containers get without a value of their own; NULL: what they inherit. The engine's own is lower where it may be. */
extern const char *inherited_oom_score_adj;

/* ---- stdio.c: the standard streams of one process, and who is attached to them ---- */
struct client;

enum stream_flag { ATTACH_STDIN = 1, ATTACH_STDOUT = 2, ATTACH_STDERR = 4 };

struct stdio {
	struct source in;     /* write end of stdin; unused with a terminal */
	struct source out[3]; /* read ends by stream number 1 and 2; out[1] is the master of a terminal */
	bool terminal, stdin_once;
	bool stdin_open;
	bool blocked; /* a client is slow: nothing is read until it has caught up */
	struct log *log; /* NULL: nothing is kept */
	struct client *clients;
	uint8_t *input; /* what stdin has not taken yet */
	size_t input_at, input_len;
};

/* The ends for the process, to be closed after the fork; -1 each where the process gets /dev/null or a terminal. */
struct child_stdio { int fd[3]; };

int stdio_open(struct stdio *s, bool terminal, bool want[3], struct child_stdio *child, struct err *err);
void stdio_master(struct stdio *s, int fd);
void stdio_start(struct stdio *s);
/* Reads all there is now, whether clients keep up or not. */
void stdio_drain(struct stdio *s);
bool stdio_ended(const struct stdio *s);
void stdio_close(struct stdio *s);
/* Flushes the log and lets clients go once they have got everything. */
void stdio_finish(struct stdio *s);
int stdio_resize(struct stdio *s, uint32_t height, uint32_t width, struct err *err);
void stdio_attach(struct stdio *s, struct client *c, unsigned flags);
void stdio_detach(struct client *c);
void stdio_unblock(struct stdio *s);
/* Input of a client, or its end. */
void stdio_input(struct client *c);
bool stdio_takes_input(const struct stdio *s);

/* ---- client.c: connections to this monitor ---- */
enum client_kind { CLIENT_REQUESTS, CLIENT_STREAM };
struct client {
	struct source source; /* first: a source is its client */
	struct client *next;
	enum client_kind kind;
	bool watching; /* is told of exits */
	bool dead, closing; /* closing: after what is still to be written */
	uint8_t *request;
	size_t request_len, request_cap;
	struct stdio *io;
	struct client *next_of_io;
	unsigned flags;
	bool input_ended;
	uint8_t *output;
	size_t output_at, output_len, output_cap;
};

struct client *client_new(int fd);
void client_send(struct client *c, const void *data, size_t len);
void client_send_frame(struct client *c, struct wr *w);
void client_error(struct client *c, const char *code, const char *message, int exit_code);
void client_ok(struct client *c);
void client_rearm(struct client *c);
void client_kill(struct client *c);
/* Frees those that are dead. Outside of handlers. */
void clients_sweep(void);
struct client *clients_all(void);
/* Any connection that has not got everything yet. */
bool clients_pending(void);
size_t client_backlog(const struct client *c);
#define CLIENT_HIGH_WATER (256u << 10)
#define CLIENT_LOW_WATER (64u << 10)

/* ---- monitor.c ---- */
struct monitor {
	struct spec spec;
	struct arena arena;
	uint8_t *message;
	int dir; /* spec.dir */
	int lock; /* dir/monitor, locked while this monitor lives */
	struct source listen, children, sync;
	struct client *starter;
	unsigned attached, wanted; /* streams before the start */
	bool prepared, released, started, exited, ended;
	pid_t pid;
	int pidfd;
	int64_t started_at;
	int status;
	struct cg cgroup;
	struct stdio io;
	struct log log;
	const struct seccomp_filter *filter;
	struct seccomp_filter own_filter;
	struct strs warnings;
	int dns[2];
};
extern struct monitor M;

/* Serves one connection of the spawner's socket: starts a container and stays with it. Never returns. */
void monitor_serve(int conn, int notify) __attribute__((noreturn));
void monitor_warn(void *ctx, const char *text);
/* More streams may be attached: lets the process go once all that were announced are there. */
void monitor_release(void);

/* ---- container.c: in the container's first process ---- */
/* Of this process, for one of the container: the spec's, or what the spawner had before it lowered its own. */
int oom_score_adj_set(struct err *err);
struct child_args {
	int sync;
	struct child_stdio stdio;
	int namespaces[8];
};
void container_main(const struct child_args *args) __attribute__((noreturn));

/* Messages of a child to its monitor: a kind, Docker's exit code or -1, text. */
enum sync_kind { SYNC_FAILED = 'E', SYNC_FAILED_PLAIN = 'P', SYNC_WARNING = 'W', SYNC_MASTER = 'M', SYNC_EXECUTING = 'X', SYNC_PID = 'I' };
struct sync_message {
	uint8_t kind;
	int32_t number;
	char text[512];
};
void sync_send(int sock, enum sync_kind kind, int number, const char *text, int fd);
void sync_fail(int sock, const struct failure *f) __attribute__((noreturn));
/* To the child. */
enum { SYNC_GO = 'G', SYNC_MAPPED = 'U', SYNC_SOURCE = 'B' };

/* Opens a pair of a new terminal in the current root, makes the slave this session's terminal and stdio, answers the master. */
int terminal_open(uint32_t height, uint32_t width, struct err *err);
int stdio_install(const struct child_stdio *stdio, struct err *err);

/* ---- init.c ---- */
/* PID 1 for --init: forks, answers 0 in the child; the parent reaps and forwards signals and never returns. */
int init_fork(int sync, struct err *err);

/* ---- exec.c ---- */
void exec_start(struct client *c, uint8_t *message, size_t len);
bool exec_kill(const char *id, int sig, struct err *err);
bool exec_resize(const char *id, uint32_t height, uint32_t width, struct err *err);
void execs_reap(void);
/* Milliseconds until something of an exec is due; -1: nothing. */
int execs_timeout(void);
void execs_tick(void);
void execs_end(void);

/* ---- network.c: from the monitor ---- */
int network_join(const struct spec *spec, pid_t pid, int dns[2], struct err *err);
void network_leave(const struct spec *spec);

/* ---- userns.c ---- */
/* Writes the ID mappings of the child, makes its root and the sources of its bind mounts, and sends them to it. */
int userns_prepare(const struct spec *spec, pid_t pid, int sync, struct err *err);

/* ---- control.c ---- */
void control_request(struct client *c, uint8_t kind, uint8_t *payload, size_t len);
void control_started(struct client *c);
void control_exited(struct client *c, int exit_code, bool oom, int64_t at, const char *error);

int spawner_main(int argc, char **argv);

#endif
