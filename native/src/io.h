#ifndef GANTRY_IO_H
#define GANTRY_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

#include "err.h"

static inline void io_close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
/* A descriptor that is closed when it goes out of scope; set it to -1 to keep it. */
#define autoclose __attribute__((cleanup(io_close_fd))) int

/* Reads exactly len bytes from a blocking descriptor. 0, or -1 (err->code 0: the other side closed). */
int io_read_full(int fd, void *buf, size_t len, struct err *err);
/* Writes all of it to a blocking descriptor; never raises SIGPIPE on a socket. */
int io_write_full(int fd, const void *buf, size_t len, struct err *err);

/* One write of `text` to an existing file (for /proc, /sys and cgroups). */
int io_write_file_at(int dirfd, const char *name, const char *text, struct err *err);
/* Reads a small file into buf, with a NUL at the end. Answers the length, -1 on failure or when it does not fit. */
ssize_t io_read_file_at(int dirfd, const char *name, char *buf, size_t size, struct err *err);
/* Writes `name` by way of a temporary file and rename, without fsync. */
int io_replace_file_at(int dirfd, const char *name, const void *data, size_t len, struct err *err);

/* One datagram or chunk with up to 8 descriptors. */
int io_send_fds(int sock, const void *data, size_t len, const int *fds, size_t n, struct err *err);
/* Answers the length (0: closed) and how many descriptors came in *n; they are close-on-exec. */
ssize_t io_recv_fds(int sock, void *data, size_t len, int *fds, size_t *n, int flags, struct err *err);

/* Binds or connects a unix socket at dirfd/name, however long the directory's path is. Answers the descriptor. */
int io_unix_listen_at(int dirfd, const char *name, struct err *err);
int io_unix_connect_at(int dirfd, const char *name, struct err *err);

int io_set_nonblock(int fd, struct err *err);
int64_t io_realtime_ns(void);
/* True for a name that is one path component: not empty, no slash, not . or .. */
bool io_is_component(const char *name);

#endif
