#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "monitor.h"

#define CHUNK 32768
#define FRAME 8 /* header of Docker's raw stream: stream number, three zeros, big-endian length */
static uint8_t chunk[FRAME + CHUNK];

static void out_ready(struct source *src, uint32_t events);
static void in_ready(struct source *src, uint32_t events);

static struct stdio *of_out(struct source *src, int stream) { return (struct stdio *)((char *)(src - stream) - offsetof(struct stdio, out)); }

static void out1_ready(struct source *src, uint32_t events)
{
	struct stdio *s = of_out(src, 1);
	if (s->terminal && events & EPOLLOUT)
		in_ready(&s->in, events);
	if (src->fd >= 0 && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		out_ready(src, events);
}

int stdio_open(struct stdio *s, bool terminal, bool want[3], struct child_stdio *child, struct err *err)
{
	*s = (struct stdio){ .terminal = terminal, .in = { .fd = -1, .ready = in_ready } };
	for (int i = 0; i < 3; i++) {
		s->out[i] = (struct source){ .fd = -1, .ready = i == 1 ? out1_ready : out_ready };
		child->fd[i] = -1;
	}
	s->stdin_open = want[0];
	if (terminal)
		return 0;
	for (int i = 0; i < 3; i++) {
		int ends[2];
		if (!want[i])
			continue;
		if (pipe2(ends, O_CLOEXEC) < 0)
			return err_set(err, errno, "pipe: %s", strerror(errno));
		child->fd[i] = ends[i == 0 ? 0 : 1];
		int mine = ends[i == 0 ? 1 : 0];
		*(i == 0 ? &s->in.fd : &s->out[i].fd) = mine;
		if (io_set_nonblock(mine, err) < 0)
			return -1;
	}
	return 0;
}

void stdio_master(struct stdio *s, int fd)
{
	s->out[1].fd = fd;
	io_set_nonblock(fd, NULL);
}

static int input_fd(const struct stdio *s) { return s->terminal ? s->out[1].fd : s->in.fd; }

bool stdio_takes_input(const struct stdio *s) { return s->stdin_open && input_fd(s) >= 0; }

static void rearm(struct stdio *s)
{
	for (int i = 1; i < 3; i++) {
		uint32_t events = s->blocked ? 0 : EPOLLIN;
		if (i == 1 && s->terminal && s->input_len > 0)
			events |= EPOLLOUT;
		loop_watch(&s->out[i], events);
	}
	if (!s->terminal)
		loop_watch(&s->in, s->input_len > 0 ? EPOLLOUT : 0);
}

void stdio_start(struct stdio *s) { rearm(s); }

static bool slow(const struct stdio *s, size_t limit)
{
	for (struct client *c = s->clients; c != NULL; c = c->next_of_io)
		if (!c->dead && client_backlog(c) > limit)
			return true;
	return false;
}

void stdio_unblock(struct stdio *s)
{
	if (s->blocked && !slow(s, CLIENT_LOW_WATER)) {
		s->blocked = false;
		rearm(s);
	}
}

/* One read; false when there is nothing now, or no more. */
static bool pump(struct stdio *s, int stream)
{
	ssize_t n = read(s->out[stream].fd, chunk + FRAME, CHUNK);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) { /* a terminal gives EIO once nobody has it open */
		loop_close(&s->out[stream]);
		if (s->log != NULL)
			log_end(s->log, stream, io_realtime_ns());
		return false;
	}
	if (s->log != NULL)
		log_write(s->log, stream, chunk + FRAME, (size_t)n, io_realtime_ns());
	uint8_t header[FRAME] = { (uint8_t)stream, 0, 0, 0, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n };
	memcpy(chunk, header, FRAME);
	size_t skip = s->terminal ? FRAME : 0;
	for (struct client *c = s->clients; c != NULL; c = c->next_of_io)
		if (c->flags & (stream == 1 ? ATTACH_STDOUT : ATTACH_STDERR))
			client_send(c, chunk + skip, FRAME - skip + (size_t)n);
	return true;
}

static void out_ready(struct source *src, uint32_t events)
{
	(void)events;
	int stream = src->ready == out1_ready ? 1 : 2;
	struct stdio *s = of_out(src, stream);
	pump(s, stream);
	if (!s->blocked && slow(s, CLIENT_HIGH_WATER)) {
		s->blocked = true;
		rearm(s);
	}
}

void stdio_drain(struct stdio *s)
{
	for (int i = 1; i < 3; i++)
		while (s->out[i].fd >= 0 && pump(s, i)) {
		}
}

bool stdio_ended(const struct stdio *s) { return s->out[1].fd < 0 && s->out[2].fd < 0; }

static void close_input(struct stdio *s)
{
	s->stdin_open = false;
	s->input_len = s->input_at = 0;
	free(s->input);
	s->input = NULL;
	if (!s->terminal)
		loop_close(&s->in);
	rearm(s);
	for (struct client *c = s->clients; c != NULL; c = c->next_of_io)
		client_rearm(c);
}

/* Passes on what is left over; then clients may send again, or stdin is closed when that was all. */
static void in_ready(struct source *src, uint32_t events)
{
	(void)events;
	struct stdio *s = (struct stdio *)((char *)src - offsetof(struct stdio, in));
	ssize_t n = write(input_fd(s), s->input + s->input_at, s->input_len);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		close_input(s);
		return;
	}
	s->input_at += (size_t)n;
	s->input_len -= (size_t)n;
	if (s->input_len > 0)
		return;
	rearm(s);
	bool end = false;
	for (struct client *c = s->clients; c != NULL; c = c->next_of_io) {
		client_rearm(c);
		end |= c->flags & ATTACH_STDIN && c->input_ended;
	}
	if (end && s->stdin_once && !s->terminal)
		close_input(s);
}

static void input_ended(struct client *c)
{
	struct stdio *s = c->io;
	if (c->input_ended)
		return;
	c->input_ended = true;
	if (c->flags & ATTACH_STDIN && s->stdin_once && !s->terminal && s->input_len == 0)
		close_input(s);
}

void stdio_input(struct client *c)
{
	struct stdio *s = c->io;
	uint8_t buf[16384];
	ssize_t n = read(c->source.fd, buf, sizeof buf);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		input_ended(c);
		client_rearm(c);
		return;
	}
	if (!(c->flags & ATTACH_STDIN) || !stdio_takes_input(s))
		return;
	ssize_t w = write(input_fd(s), buf, (size_t)n);
	if (w < 0 && errno != EAGAIN && errno != EINTR) {
		close_input(s);
		return;
	}
	if (w < 0)
		w = 0;
	if (w == n)
		return;
	if (s->input == NULL && (s->input = malloc(sizeof buf)) == NULL) {
		close_input(s);
		return;
	}
	s->input_at = 0;
	s->input_len = (size_t)(n - w);
	memcpy(s->input, buf + w, s->input_len);
	rearm(s);
	for (struct client *other = s->clients; other != NULL; other = other->next_of_io)
		client_rearm(other);
}

void stdio_attach(struct stdio *s, struct client *c, unsigned flags)
{
	c->kind = CLIENT_STREAM;
	c->io = s;
	c->flags = flags;
	c->next_of_io = s->clients;
	s->clients = c;
	client_rearm(c);
}

void stdio_detach(struct client *c)
{
	struct stdio *s = c->io;
	if (s == NULL)
		return;
	if (!c->closing)
		input_ended(c);
	for (struct client **at = &s->clients; *at != NULL; at = &(*at)->next_of_io) {
		if (*at == c) {
			*at = c->next_of_io;
			break;
		}
	}
	c->io = NULL;
	stdio_unblock(s);
}

void stdio_close(struct stdio *s)
{
	loop_close(&s->in);
	loop_close(&s->out[1]);
	loop_close(&s->out[2]);
	free(s->input);
	s->input = NULL;
	s->input_len = 0;
}

void stdio_finish(struct stdio *s)
{
	for (int i = 1; i < 3 && s->log != NULL; i++)
		log_end(s->log, i, io_realtime_ns());
	stdio_close(s);
	while (s->clients != NULL) {
		struct client *c = s->clients;
		s->clients = c->next_of_io;
		c->io = NULL;
		c->closing = true;
		client_rearm(c);
	}
}

int stdio_resize(struct stdio *s, uint32_t height, uint32_t width, struct err *err)
{
	struct winsize size = { .ws_row = (unsigned short)height, .ws_col = (unsigned short)width };
	if (!s->terminal || s->out[1].fd < 0)
		return err_set(err, ENOTTY, "there is no terminal to resize");
	if (ioctl(s->out[1].fd, TIOCSWINSZ, &size) < 0)
		return err_set(err, errno, "resize: %s", strerror(errno));
	return 0;
}
