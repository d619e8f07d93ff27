#ifndef GANTRY_LOOP_H
#define GANTRY_LOOP_H

#include <stdint.h>

#include "../src/err.h"

/* One descriptor and who is told of it. Owned by the caller; it may be freed in its own handler or another's. */
struct source {
	int fd;
	uint32_t watched; /* 0: not in the loop */
	void (*ready)(struct source *s, uint32_t events);
};

int loop_init(struct err *err);
/* Watches for exactly these events (EPOLLIN …); 0 takes the source out. */
void loop_watch(struct source *s, uint32_t events);
/* Takes it out and closes its descriptor. */
void loop_close(struct source *s);
/* Waits for one event (timeout in ms, -1: forever) and tells its source. 1: told, 0: timed out. */
int loop_once(int timeout);
/* For a child: forgets the loop without touching the parent's. */
void loop_forget(void);

#endif
