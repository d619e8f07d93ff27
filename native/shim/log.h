#ifndef GANTRY_LOG_H
#define GANTRY_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../src/err.h"
#include "../src/spec.h"

/*
 * The container's log, `dir/log`: records one after another, each
 *
 *     u64 time      nanoseconds since the epoch
 *     u32 length    of the data
 *     u8  stream    1 stdout, 2 stderr
 *     u8  flags     bit 0: partial, the line goes on in the next record of this stream
 *     u16 magic     0x474c
 *     data          without the newline that ended the line
 *     u32 length    again, to read backwards from the end
 *
 * little-endian. As in Docker, a line is cut into partial records of 16 KiB, and what a stream ends with counts as a line.
 *
 * With a bound, a record that would take the file past it begins a new one: `log` becomes `log.1`, that `log.2`, and so on to one less
 * than the number of files; what was the last is gone. A record is never parted.
 */
#define LOG_MAGIC 0x474cu
#define LOG_HEADER 16u
#define LOG_TRAILER 4u
#define LOG_LINE_MAX 16384u

struct log_line { uint8_t *buf; size_t len; };
struct log {
	int fd; /* -1: nothing is kept */
	int dir;
	struct log_bound bound;
	struct log_line lines[3]; /* by stream; what has no newline yet */
	int64_t size; /* of what is whole */
};

/* Opens `log` in a directory, which stays open, for appending, after cutting off what a crash left of a last record. */
int log_open(struct log *log, int dir, struct log_bound bound, struct err *err);
void log_write(struct log *log, int stream, const uint8_t *data, size_t len, int64_t time);
/* Writes what is left of a stream. */
void log_end(struct log *log, int stream, int64_t time);

#endif
