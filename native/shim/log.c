#include "log.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

struct __attribute__((packed)) header { uint64_t time; uint32_t length; uint8_t stream, flags; uint16_t magic; };
_Static_assert(sizeof(struct header) == LOG_HEADER, "layout of a log record");

static bool whole_record(int fd, off_t at, off_t size, off_t *next)
{
	struct header h;
	uint32_t again;
	if (size - at < (off_t)(LOG_HEADER + LOG_TRAILER) || pread(fd, &h, sizeof h, at) != (ssize_t)sizeof h ||
	    le16toh(h.magic) != LOG_MAGIC)
		return false;
	off_t length = le32toh(h.length);
	if (length > (off_t)LOG_LINE_MAX || size - at < length + (off_t)(LOG_HEADER + LOG_TRAILER) ||
	    pread(fd, &again, sizeof again, at + (off_t)LOG_HEADER + length) != (ssize_t)sizeof again || le32toh(again) != length)
		return false;
	*next = at + length + (off_t)(LOG_HEADER + LOG_TRAILER);
	return true;
}

/* Answers the size of what is whole. */
static off_t repair(int fd, struct err *err)
{
	struct stat st;
	uint32_t length;
	off_t next;
	if (fstat(fd, &st) < 0)
		return err_set(err, errno, "stat the log: %s", strerror(errno));
	if (st.st_size == 0)
		return 0;
	if (pread(fd, &length, sizeof length, st.st_size - (off_t)LOG_TRAILER) == (ssize_t)sizeof length) {
		off_t at = st.st_size - (off_t)(LOG_HEADER + LOG_TRAILER) - (off_t)le32toh(length);
		if (at >= 0 && whole_record(fd, at, st.st_size, &next) && next == st.st_size)
			return st.st_size;
	}
	off_t good = 0;
	while (whole_record(fd, good, st.st_size, &next))
		good = next;
	return ftruncate(fd, good) < 0 ? err_set(err, errno, "truncate the log: %s", strerror(errno)) : good;
}

static const char NAME[] = "log";

int log_open(struct log *log, int dir, struct log_bound bound, struct err *err)
{
	log->dir = dir;
	log->bound = bound;
	log->fd = openat(dir, NAME, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	if (log->fd < 0)
		return err_set(err, errno, "open the log: %s", strerror(errno));
	off_t size = repair(log->fd, err);
	log->size = size;
	return size < 0 ? -1 : 0;
}

/* The name of the n-th file, the newest being the 0th. */
static const char *name_of(char out[24], uint32_t n)
{
	if (n == 0)
		return NAME;
	snprintf(out, 24, "%s.%u", NAME, n);
	return out;
}

/* Begins a new file. Where none can be made, the one that is full is emptied instead: the bound holds in any case. */
static void rotate(struct log *log)
{
	char from[24], to[24];
	for (uint32_t n = log->bound.max_files - 1; n > 0; n--)
		renameat(log->dir, name_of(from, n - 1), log->dir, name_of(to, n)); /* there may be a gap */
	unlinkat(log->dir, NAME, 0); /* of a single file */
	int fd = openat(log->dir, NAME, O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0640);
	if (fd >= 0) {
		close(log->fd);
		log->fd = fd;
	} else if (ftruncate(log->fd, 0) < 0) {
		close(log->fd);
		log->fd = -1;
	}
	log->size = 0;
}

#define BATCH 64
struct batch {
	struct log *log;
	int n;
	int64_t bytes;
	struct header headers[BATCH];
	uint32_t trailers[BATCH];
	struct iovec iov[BATCH * 4];
	int n_iov;
};

static void flush(struct batch *b)
{
	struct iovec *iov = b->iov;
	int left = b->n_iov;
	int64_t written = 0;
	while (left > 0) {
		ssize_t n = writev(b->log->fd, iov, left);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			/* A full disk loses log lines, never the container: what is not whole is taken back. */
			if (ftruncate(b->log->fd, b->log->size) < 0) {
				close(b->log->fd);
				b->log->fd = -1;
			}
			b->n = b->n_iov = 0;
			b->bytes = 0;
			return;
		}
		written += n;
		for (; left > 0 && (size_t)n >= iov->iov_len; iov++, left--)
			n -= (ssize_t)iov->iov_len;
		if (left > 0) {
			iov->iov_base = (char *)iov->iov_base + n;
			iov->iov_len -= (size_t)n;
		}
	}
	b->log->size += written;
	b->n = b->n_iov = 0;
	b->bytes = 0;
}

static void put(struct batch *b, const void *data, size_t len)
{
	if (len > 0)
		b->iov[b->n_iov++] = (struct iovec){ (void *)data, len };
}

static void record(struct batch *b, int stream, bool partial, int64_t time, const uint8_t *a, size_t a_len, const uint8_t *c, size_t c_len)
{
	uint32_t length = (uint32_t)(a_len + c_len);
	struct log *log = b->log;
	int64_t bytes = (int64_t)(LOG_HEADER + LOG_TRAILER) + length;
	if (log->bound.max_bytes > 0 && log->size + b->bytes > 0 && log->size + b->bytes + bytes > log->bound.max_bytes) {
		flush(b);
		if (log->fd >= 0)
			rotate(log);
	}
	b->bytes += bytes;
	b->headers[b->n] = (struct header){ htole64((uint64_t)time), htole32(length), (uint8_t)stream, partial, htole16(LOG_MAGIC) };
	b->trailers[b->n] = htole32(length);
	put(b, &b->headers[b->n], LOG_HEADER);
	put(b, a, a_len);
	put(b, c, c_len);
	put(b, &b->trailers[b->n], LOG_TRAILER);
	if (++b->n == BATCH)
		flush(b);
}

static void keep(struct log_line *line, const uint8_t *data, size_t len)
{
	if (line->buf == NULL)
		line->buf = malloc(LOG_LINE_MAX);
	if (line->buf == NULL || len == 0)
		return;
	memcpy(line->buf + line->len, data, len);
	line->len += len;
}

void log_write(struct log *log, int stream, const uint8_t *data, size_t len, int64_t time)
{
	if (log->fd < 0)
		return;
	struct log_line *line = &log->lines[stream];
	struct batch b;
	b.log = log;
	b.n = b.n_iov = 0;
	b.bytes = 0;
	while (len > 0) {
		size_t room = LOG_LINE_MAX - line->len;
		const uint8_t *newline = memchr(data, '\n', len < room ? len : room);
		if (newline == NULL && len < room) {
			flush(&b); /* before the kept line, which it may refer to, changes */
			keep(line, data, len);
			return;
		}
		size_t take = newline != NULL ? (size_t)(newline - data) : room;
		bool kept = line->len > 0;
		record(&b, stream, newline == NULL, time, line->buf, line->len, data, take);
		if (kept)
			flush(&b);
		line->len = 0;
		take += newline != NULL;
		data += take;
		len -= take;
	}
	flush(&b);
}

void log_end(struct log *log, int stream, int64_t time)
{
	struct log_line *line = &log->lines[stream];
	if (log->fd >= 0 && line->len > 0) {
		struct batch b;
		b.log = log;
		b.n = b.n_iov = 0;
		b.bytes = 0;
		record(&b, stream, false, time, line->buf, line->len, NULL, 0);
		flush(&b);
		line->len = 0;
	}
	free(line->buf);
	line->buf = NULL;
}
