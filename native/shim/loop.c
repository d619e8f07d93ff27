#include "loop.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static int epoll = -1;

int loop_init(struct err *err)
{
	epoll = epoll_create1(EPOLL_CLOEXEC);
	return epoll < 0 ? err_set(err, errno, "epoll_create1: %s", strerror(errno)) : 0;
}

void loop_watch(struct source *s, uint32_t events)
{
	if (s->fd < 0 || s->watched == events)
		return;
	struct epoll_event e = { .events = events, .data.ptr = s };
	int op = events == 0 ? EPOLL_CTL_DEL : s->watched == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
	if (epoll_ctl(epoll, op, s->fd, &e) == 0)
		s->watched = events;
}

void loop_close(struct source *s)
{
	if (s->fd < 0)
		return;
	loop_watch(s, 0);
	close(s->fd);
	s->fd = -1;
}

int loop_once(int timeout)
{
	/* One at a time, so that no event can be left over for a source that an earlier handler has freed. */
	struct epoll_event e;
	int n = epoll_wait(epoll, &e, 1, timeout);
	if (n <= 0)
		return 0;
	struct source *s = e.data.ptr;
	s->ready(s, e.events);
	return 1;
}

void loop_forget(void)
{
	close(epoll);
	epoll = -1;
}
