#ifndef GANTRY_WIRE_H
#define GANTRY_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The wire between libs/runtime and the shim: little-endian integers of fixed width; a string is u32 length, the bytes, and a
 * zero byte that the length does not count (so that it can be used where it lies); an array is u32 count and its elements;
 * null is a flag byte 0, a value a flag byte 1 and the value. The TypeScript side is libs/runtime/src/wire.ts.
 *
 * A frame is u32 length of what follows, u8 kind, payload.
 */
#define WIRE_VERSION 2u
#define WIRE_MAX_FRAME (16u << 20)
#define WIRE_HEADER 5u

enum wire_kind {
	/* to the spawner */
	WIRE_START = 0x01,
	WIRE_REAP = 0x02,
	WIRE_END = 0x03,
	WIRE_PING = 0x04,
	/* to a monitor */
	WIRE_WATCH = 0x11,
	WIRE_ATTACH = 0x12,
	WIRE_KILL = 0x13,
	WIRE_PAUSE = 0x14,
	WIRE_RESUME = 0x15,
	WIRE_RESIZE = 0x16,
	WIRE_EXEC = 0x17,
	WIRE_PIDS = 0x18,
	WIRE_UPDATE = 0x19,
	WIRE_DNS = 0x1a,
	WIRE_EXEC_KILL = 0x1b,
	WIRE_EXEC_RESIZE = 0x1c,
	/* answers */
	WIRE_LISTENING = 0x81,
	WIRE_STARTED = 0x82,
	WIRE_ERROR = 0x83,
	WIRE_EXIT = 0x84,
	WIRE_OK = 0x85,
	WIRE_PIDS_ARE = 0x86,
	WIRE_EXEC_EXIT = 0x87,
	WIRE_FDS = 0x88,
};

/* Reader. Once something does not fit, `bad` says so and every further read answers zero, "" or nothing. */
struct rd {
	uint8_t *at, *end;
	bool bad;
	struct arena *arena;
};

/* Memory of one decoded message, given back at once. */
struct arena {
	struct arena_block *blocks;
};

void *arena_alloc(struct arena *a, size_t count, size_t size); /* zeroed; NULL when out of memory */
void arena_free(struct arena *a);

uint8_t rd_u8(struct rd *r);
bool rd_bool(struct rd *r); /* anything but 0 and 1 is bad */
uint32_t rd_u32(struct rd *r);
int32_t rd_i32(struct rd *r);
int64_t rd_i64(struct rd *r);
const char *rd_str(struct rd *r); /* no zero byte within; points into the message */
/* Count of an array whose elements take at least `least` bytes each, and zeroed room for them from the arena. */
uint32_t rd_array(struct rd *r, size_t least, size_t size, void **out);

struct strs {
	uint32_t n;
	const char **v; /* v[n] is NULL */
};
struct strs rd_strs(struct rd *r);

/* Writer into a buffer that grows. `bad` after running out of memory. */
struct wr {
	uint8_t *buf;
	size_t len, cap;
	bool bad;
};

void wr_u8(struct wr *w, uint8_t v);
void wr_u32(struct wr *w, uint32_t v);
void wr_i32(struct wr *w, int32_t v);
void wr_i64(struct wr *w, int64_t v);
void wr_str(struct wr *w, const char *s);
/* Begins a frame; wr_end writes its length. One frame at a time. Answers where it began. */
size_t wr_begin(struct wr *w, uint8_t kind);
void wr_end(struct wr *w, size_t at);
void wr_free(struct wr *w);

#endif
