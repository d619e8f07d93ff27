#include "wire.h"

#include <stdlib.h>
#include <string.h>

struct arena_block {
	struct arena_block *next;
	size_t used, size;
	max_align_t data[];
};

void *arena_alloc(struct arena *a, size_t count, size_t size)
{
	size_t want;
	if (__builtin_mul_overflow(count, size, &want) || want > WIRE_MAX_FRAME * 64ul)
		return NULL;
	want = (want + 15) & ~15ul;
	struct arena_block *b = a->blocks;
	if (b == NULL || b->size - b->used < want) {
		size_t room = want > 4000 ? want : 4000;
		b = malloc(sizeof *b + room);
		if (b == NULL)
			return NULL;
		b->next = a->blocks;
		b->used = 0;
		b->size = room;
		a->blocks = b;
	}
	void *p = (char *)b->data + b->used;
	b->used += want;
	return memset(p, 0, want);
}

void arena_free(struct arena *a)
{
	while (a->blocks != NULL) {
		struct arena_block *next = a->blocks->next;
		free(a->blocks);
		a->blocks = next;
	}
}

static uint64_t rd_int(struct rd *r, size_t width)
{
	if (r->bad || (size_t)(r->end - r->at) < width) {
		r->bad = true;
		return 0;
	}
	uint64_t v = 0;
	for (size_t i = 0; i < width; i++)
		v |= (uint64_t)r->at[i] << (8 * i);
	r->at += width;
	return v;
}

uint8_t rd_u8(struct rd *r) { return (uint8_t)rd_int(r, 1); }
uint32_t rd_u32(struct rd *r) { return (uint32_t)rd_int(r, 4); }
int32_t rd_i32(struct rd *r) { return (int32_t)rd_int(r, 4); }
int64_t rd_i64(struct rd *r) { return (int64_t)rd_int(r, 8); }

bool rd_bool(struct rd *r)
{
	uint8_t v = rd_u8(r);
	if (v > 1)
		r->bad = true;
	return v == 1;
}

const char *rd_str(struct rd *r)
{
	uint32_t len = rd_u32(r);
	if (r->bad || (size_t)(r->end - r->at) <= len || r->at[len] != 0 || memchr(r->at, 0, len) != NULL) {
		r->bad = true;
		return "";
	}
	const char *s = (const char *)r->at;
	r->at += len + 1;
	return s;
}

uint32_t rd_array(struct rd *r, size_t least, size_t size, void **out)
{
	*out = NULL;
	uint32_t n = rd_u32(r);
	if (r->bad || n > (size_t)(r->end - r->at) / least) {
		r->bad = true;
		return 0;
	}
	*out = arena_alloc(r->arena, (size_t)n + 1, size);
	if (*out == NULL) {
		r->bad = true;
		return 0;
	}
	return n;
}

struct strs rd_strs(struct rd *r)
{
	void *v;
	struct strs s = { .n = rd_array(r, 5, sizeof(char *), &v) };
	s.v = v;
	for (uint32_t i = 0; i < s.n; i++)
		s.v[i] = rd_str(r);
	return s;
}

static uint8_t *wr_room(struct wr *w, size_t len)
{
	if (w->bad)
		return NULL;
	if (w->cap - w->len < len) {
		size_t cap = (w->len + len) * 2 + 64;
		uint8_t *p = realloc(w->buf, cap);
		if (p == NULL) {
			w->bad = true;
			return NULL;
		}
		w->buf = p;
		w->cap = cap;
	}
	uint8_t *p = w->buf + w->len;
	w->len += len;
	return p;
}

static void wr_int(struct wr *w, uint64_t v, size_t width)
{
	uint8_t *p = wr_room(w, width);
	for (size_t i = 0; p != NULL && i < width; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

void wr_u8(struct wr *w, uint8_t v) { wr_int(w, v, 1); }
void wr_u32(struct wr *w, uint32_t v) { wr_int(w, v, 4); }
void wr_i32(struct wr *w, int32_t v) { wr_int(w, (uint32_t)v, 4); }
void wr_i64(struct wr *w, int64_t v) { wr_int(w, (uint64_t)v, 8); }

void wr_str(struct wr *w, const char *s)
{
	size_t len = strlen(s);
	wr_u32(w, (uint32_t)len);
	uint8_t *p = wr_room(w, len + 1);
	if (p != NULL)
		memcpy(p, s, len + 1);
}

size_t wr_begin(struct wr *w, uint8_t kind)
{
	size_t at = w->len;
	wr_u32(w, 0);
	wr_u8(w, kind);
	return at;
}

void wr_end(struct wr *w, size_t at)
{
	if (w->bad)
		return;
	uint32_t len = (uint32_t)(w->len - at - 4);
	for (size_t i = 0; i < 4; i++)
		w->buf[at + i] = (uint8_t)(len >> (8 * i));
}

void wr_free(struct wr *w)
{
	free(w->buf);
	*w = (struct wr){ 0 };
}
