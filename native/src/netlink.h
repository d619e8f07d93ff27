#ifndef GANTRY_NETLINK_H
#define GANTRY_NETLINK_H

#include <stdint.h>

#include "err.h"

/*
 * Route netlink: one request, one answer, on a socket of the caller's. A socket belongs to the network namespace in which it
 * was opened. An object that is already there as asked is no error. Families are AF_INET and AF_INET6; addresses are in
 * network order.
 */

/* NETLINK_ROUTE socket, close-on-exec. Answers the descriptor. */
int nl_open(struct err *err);

/* A veth pair: `host` here, `peer` (with `mac`, or a random one when NULL) in the namespace of `peer_netns` (a descriptor). */
int nl_veth_create(int nl, const char *host, const char *peer, const uint8_t mac[6], int mtu, int peer_netns, struct err *err);
/* The same with `host` a port of `bridge` and up, in one message (and one to find the bridge). The peer is still down. */
int nl_veth_attach(int nl, const char *bridge, const char *host, const char *peer, const uint8_t mac[6], int mtu, int peer_netns,
		   struct err *err);
/* The link's index; err->code ENODEV when there is none of this name. */
int nl_link_index(int nl, const char *name, struct err *err);
/* `mac` NULL: a random one; `mtu` 0: the kernel's default. */
int nl_bridge_create(int nl, const char *name, const uint8_t mac[6], int mtu, struct err *err);
int nl_link_set_master(int nl, const char *name, const char *bridge, struct err *err);
int nl_link_up(int nl, const char *name, struct err *err);
/* 0 when it is gone, also when it was not there. */
int nl_link_delete(int nl, const char *name, struct err *err);
int nl_addr_add(int nl, const char *name, int family, const void *addr, int prefix, struct err *err);
int nl_route_default(int nl, int family, const void *gateway, const char *name, struct err *err);

#endif
