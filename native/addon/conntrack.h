#ifndef GANTRY_ADDON_CONNTRACK_H
#define GANTRY_ADDON_CONNTRACK_H

#include <stddef.h>
#include <stdint.h>

#include "../src/err.h"

/*
 * Forgets the kernel's UDP flows towards published ports of the host: those that were translated to a container, and those that
 * nobody answered. UDP has no end, so a client that keeps sending from one port would else stay with what was published before,
 * or with nothing. `ports` are in host order. A kernel without connection tracking has nothing to forget.
 */
int conntrack_forget_udp(const uint16_t *ports, size_t n, struct err *err);

#endif
