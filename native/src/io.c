#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

int io_read_full(int fd, void *buf, size_t len, struct err *err)
{
	char *at = buf;
	while (len > 0) {
		ssize_t n = read(fd, at, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, errno, "read: %s", strerror(errno));
		if (n == 0)
			return err_set(err, 0, "the other side closed the connection");
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

int io_write_full(int fd, const void *buf, size_t len, struct err *err)
{
	const char *at = buf;
	while (len > 0) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
		if (n < 0 && errno == ENOTSOCK)
			n = write(fd, at, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, errno, "write: %s", strerror(errno));
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

int io_write_file_at(int dirfd, const char *name, const char *text, struct err *err)
{
	autoclose fd = openat(dirfd, name, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, errno, "open %s: %s", name, strerror(errno));
	ssize_t n;
	do
		n = write(fd, text, strlen(text));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_set(err, errno, "write %s to %s: %s", text, name, strerror(errno));
	return 0;
}

ssize_t io_read_file_at(int dirfd, const char *name, char *buf, size_t size, struct err *err)
{
	autoclose fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, errno, "open %s: %s", name, strerror(errno));
	size_t have = 0;
	while (have < size) {
		ssize_t n = read(fd, buf + have, size - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, errno, "read %s: %s", name, strerror(errno));
		if (n == 0)
			break;
		have += (size_t)n;
	}
	if (have == size)
		return err_set(err, EFBIG, "%s is longer than %zu bytes", name, size - 1);
	buf[have] = '\0';
	return (ssize_t)have;
}

int io_replace_file_at(int dirfd, const char *name, const void *data, size_t len, struct err *err)
{
	char tmp[64];
	if ((size_t)snprintf(tmp, sizeof tmp, ".%s.tmp", name) >= sizeof tmp)
		return err_set(err, ENAMETOOLONG, "%s: name too long", name);
	autoclose fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(err, errno, "open %s: %s", tmp, strerror(errno));
	if (io_write_full(fd, data, len, err) < 0)
		return -1;
	if (renameat(dirfd, tmp, dirfd, name) < 0)
		return err_set(err, errno, "rename %s: %s", tmp, strerror(errno));
	return 0;
}

#define MAX_FDS 8

union control {
	char buf[CMSG_SPACE(sizeof(int) * MAX_FDS)];
	struct cmsghdr align;
};

int io_send_fds(int sock, const void *data, size_t len, const int *fds, size_t n, struct err *err)
{
	union control control;
	memset(&control, 0, sizeof control);
	struct iovec iov = { .iov_base = (void *)data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	if (n > MAX_FDS)
		return err_set(err, EINVAL, "too many descriptors");
	if (n > 0) {
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * n);
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
	}
	ssize_t r;
	do
		r = sendmsg(sock, &msg, MSG_NOSIGNAL);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return err_set(err, errno, "sendmsg: %s", strerror(errno));
	return 0;
}

ssize_t io_recv_fds(int sock, void *data, size_t len, int *fds, size_t *n, int flags, struct err *err)
{
	union control control;
	struct iovec iov = { .iov_base = data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf, .msg_controllen = sizeof control.buf };
	size_t room = *n;
	*n = 0;
	ssize_t r;
	do
		r = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | flags);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return err_set(err, errno, "recvmsg: %s", strerror(errno));
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t got = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < got; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
			if (*n < room)
				fds[(*n)++] = fd;
			else
				close(fd);
		}
	}
	return r;
}

static int unix_address(int dirfd, const char *name, struct sockaddr_un *addr, struct err *err)
{
	memset(addr, 0, sizeof *addr);
	addr->sun_family = AF_UNIX;
	int n = snprintf(addr->sun_path, sizeof addr->sun_path, "/proc/self/fd/%d/%s", dirfd, name);
	if (n < 0 || (size_t)n >= sizeof addr->sun_path)
		return err_set(err, ENAMETOOLONG, "socket name %s is too long", name);
	return 0;
}

int io_unix_listen_at(int dirfd, const char *name, struct err *err)
{
	struct sockaddr_un addr;
	if (unix_address(dirfd, name, &addr, err) < 0)
		return -1;
	autoclose fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(err, errno, "socket: %s", strerror(errno));
	if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
		return err_set(err, errno, "unlink %s: %s", name, strerror(errno));
	mode_t old = umask(0177);
	int r = bind(fd, (struct sockaddr *)&addr, sizeof addr);
	int saved = errno;
	umask(old);
	if (r < 0)
		return err_set(err, saved, "bind %s: %s", name, strerror(saved));
	if (listen(fd, 1024) < 0)
		return err_set(err, errno, "listen %s: %s", name, strerror(errno));
	int keep = fd;
	fd = -1;
	return keep;
}

int io_unix_connect_at(int dirfd, const char *name, struct err *err)
{
	struct sockaddr_un addr;
	if (unix_address(dirfd, name, &addr, err) < 0)
		return -1;
	autoclose fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(err, errno, "socket: %s", strerror(errno));
	if (connect(fd, (struct sockaddr *)&addr, sizeof addr) < 0)
		return err_set(err, errno, "connect %s: %s", name, strerror(errno));
	int keep = fd;
	fd = -1;
	return keep;
}

int io_set_nonblock(int fd, struct err *err)
{
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return err_set(err, errno, "fcntl: %s", strerror(errno));
	return 0;
}

int64_t io_realtime_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

bool io_is_component(const char *name)
{
	return name[0] != '\0' && strchr(name, '/') == NULL && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}
