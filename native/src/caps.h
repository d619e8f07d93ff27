#ifndef GANTRY_CAPS_H
#define GANTRY_CAPS_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "wire.h"

/* A set of capabilities, bit n for capability n. Names are as in Docker: CAP_CHOWN or CHOWN, and ALL. */
int caps_parse(const struct strs *names, uint64_t *out, struct err *err);
bool caps_has(uint64_t caps, const char *name);
/* Of this process: what it may hand on. */
int caps_permitted(uint64_t *out, struct err *err);
/* Takes everything else out of the bounding set. */
int caps_bound(uint64_t keep, struct err *err);
/* Effective and permitted; inheritable and ambient become empty. */
int caps_set(uint64_t caps, struct err *err);

#endif
