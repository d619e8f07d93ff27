#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "monitor.h"

static struct client *all;
static bool some_dead;

struct client *clients_all(void) { return all; }
size_t client_backlog(const struct client *c) { return c->output_len; }

static void ready(struct source *s, uint32_t events);

struct client *client_new(int fd)
{
	struct client *c = calloc(1, sizeof *c);
	if (c == NULL || io_set_nonblock(fd, NULL) < 0) {
		free(c);
		close(fd);
		return NULL;
	}
	c->source = (struct source){ .fd = fd, .ready = ready };
	c->next = all;
	all = c;
	client_rearm(c);
	return c;
}

void client_kill(struct client *c)
{
	if (c->dead)
		return;
	c->dead = some_dead = true;
	if (M.starter == c)
		M.starter = NULL;
	stdio_detach(c);
	loop_close(&c->source);
}

void clients_sweep(void)
{
	if (!some_dead)
		return;
	some_dead = false;
	for (struct client **at = &all; *at != NULL;) {
		struct client *c = *at;
		if (!c->dead) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		free(c->request);
		free(c->output);
		free(c);
	}
}

bool clients_pending(void)
{
	for (struct client *c = all; c != NULL; c = c->next)
		if (!c->dead && (c->output_len > 0 || c->closing))
			return true;
	return false;
}

/* An orderly end: the peer sees the end of the stream, not a reset, though it may have sent what nobody reads. */
static void finish(struct client *c)
{
	char waste[4096];
	shutdown(c->source.fd, SHUT_WR);
	while (recv(c->source.fd, waste, sizeof waste, MSG_DONTWAIT) > 0) {
	}
	client_kill(c);
}

void client_rearm(struct client *c)
{
	if (c->dead)
		return;
	if (c->closing && c->output_len == 0) {
		finish(c);
		return;
	}
	uint32_t events = EPOLLERR; /* reported anyway, as EPOLLHUP is: keeps the source watched */
	if (c->output_len > 0)
		events |= EPOLLOUT;
	if (c->kind == CLIENT_REQUESTS && !c->closing)
		events |= EPOLLIN;
	if (c->kind == CLIENT_STREAM && !c->closing && !c->input_ended && c->io != NULL && c->io->input_len == 0)
		events |= EPOLLIN;
	loop_watch(&c->source, events);
}

static void flush(struct client *c)
{
	while (c->output_len > 0) {
		ssize_t n = send(c->source.fd, c->output + c->output_at, c->output_len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			client_kill(c);
			return;
		}
		c->output_at += (size_t)n;
		c->output_len -= (size_t)n;
	}
	if (c->output_len == 0) {
		free(c->output);
		c->output = NULL;
		c->output_at = c->output_cap = 0;
	}
	if (c->io != NULL && c->output_len <= CLIENT_LOW_WATER)
		stdio_unblock(c->io);
	client_rearm(c);
}

void client_send(struct client *c, const void *data, size_t len)
{
	const uint8_t *at = data;
	if (c->dead)
		return;
	while (c->output_len == 0 && len > 0) {
		ssize_t n = send(c->source.fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			/* Not client_kill: the caller walks a list of clients. The next event (EPOLLERR, EPOLLHUP) does it. */
			return;
		}
		at += n;
		len -= (size_t)n;
	}
	if (len == 0)
		return;
	if (c->output_at + c->output_len + len > c->output_cap) {
		if (c->output_at > 0 && c->output_len > 0)
			memmove(c->output, c->output + c->output_at, c->output_len);
		c->output_at = 0;
		if (c->output_len + len > c->output_cap) {
			size_t cap = (c->output_len + len) * 2;
			uint8_t *p = realloc(c->output, cap);
			if (p == NULL)
				return;
			c->output = p;
			c->output_cap = cap;
		}
	}
	memcpy(c->output + c->output_at + c->output_len, at, len);
	c->output_len += len;
	client_rearm(c);
}

void client_send_frame(struct client *c, struct wr *w)
{
	if (!w->bad)
		client_send(c, w->buf, w->len);
	wr_free(w);
}

void client_error(struct client *c, const char *code, const char *message, int exit_code)
{
	struct wr w = { 0 };
	size_t at = wr_begin(&w, WIRE_ERROR);
	wr_i32(&w, exit_code);
	wr_str(&w, code);
	wr_str(&w, message);
	wr_end(&w, at);
	client_send_frame(c, &w);
}

void client_ok(struct client *c)
{
	struct wr w = { 0 };
	wr_end(&w, wr_begin(&w, WIRE_OK));
	client_send_frame(c, &w);
}

/* Reads to the end of the current request and no further, for what follows an attach is the stream's. */
static void read_request(struct client *c)
{
	for (;;) {
		size_t want = 4;
		if (c->request_len >= 4) {
			uint32_t len = c->request[0] | c->request[1] << 8 | c->request[2] << 16 | (uint32_t)c->request[3] << 24;
			if (len == 0 || len > WIRE_MAX_FRAME) {
				client_kill(c);
				return;
			}
			want = 4 + (size_t)len;
			if (c->request_len == want) {
				uint8_t *message = c->request;
				c->request = NULL;
				c->request_len = c->request_cap = 0;
				control_request(c, message[4], message + WIRE_HEADER, want - WIRE_HEADER);
				free(message);
				return;
			}
		}
		if (c->request_cap < want) {
			uint8_t *p = realloc(c->request, want);
			if (p == NULL) {
				client_kill(c);
				return;
			}
			c->request = p;
			c->request_cap = want;
		}
		ssize_t n = read(c->source.fd, c->request + c->request_len, want - c->request_len);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			client_kill(c);
			return;
		}
		c->request_len += (size_t)n;
	}
}

static void ready(struct source *s, uint32_t events)
{
	struct client *c = (struct client *)s;
	if (events & EPOLLOUT) {
		flush(c);
		if (c->dead)
			return;
	}
	bool gone = events & (EPOLLHUP | EPOLLERR);
	if (events & EPOLLIN) {
		if (c->kind == CLIENT_REQUESTS)
			read_request(c);
		else
			stdio_input(c);
	} else if (gone) {
		/* Input that came before the end waits for its turn; watched again when it is read. */
		if (c->kind == CLIENT_STREAM && !c->input_ended && c->io != NULL && c->io->input_len > 0)
			loop_watch(s, 0);
		else
			client_kill(c);
	}
}
