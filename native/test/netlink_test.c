/* Netlink calls against the kernel, in a network namespace of the test's own. Skipped without the right to make one. */
#include "../src/netlink.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const uint8_t BRIDGE_MAC[6] = { 0x02, 0x42, 0, 0, 0, 1 };
static const uint8_t PEER_MAC[6] = { 0x02, 0x42, 0xac, 0x11, 0, 2 };

#define OK(call)                                                                                        \
	do {                                                                                            \
		struct err err = { 0 };                                                                 \
		if ((call) < 0) {                                                                       \
			fprintf(stderr, "%s:%d: %s: %s (%d)\n", __FILE__, __LINE__, #call, err.msg, err.code); \
			abort();                                                                        \
		}                                                                                       \
	} while (0)

#define FAILS(errno_value, call)                                                                        \
	do {                                                                                            \
		struct err err = { 0 };                                                                 \
		if ((call) != -1 || err.code != (errno_value) || err.msg[0] == '\0') {                  \
			fprintf(stderr, "%s:%d: %s: \"%s\" (%d)\n", __FILE__, __LINE__, #call, err.msg, err.code); \
			abort();                                                                        \
		}                                                                                       \
	} while (0)

static int enter_new_netns(void)
{
	if (unshare(CLONE_NEWNET) < 0)
		return -1;
	int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	assert(fd >= 0);
	return fd;
}

/* The broadcast address that the kernel holds for `name`, or 0. */
static in_addr_t broadcast_of(const char *name)
{
	struct ifaddrs *all;
	assert(getifaddrs(&all) == 0);
	in_addr_t found = 0;
	for (struct ifaddrs *a = all; a != NULL; a = a->ifa_next)
		if (strcmp(a->ifa_name, name) == 0 && a->ifa_addr && a->ifa_addr->sa_family == AF_INET && a->ifa_broadaddr)
			found = ((struct sockaddr_in *)(void *)a->ifa_broadaddr)->sin_addr.s_addr;
	freeifaddrs(all);
	return found;
}

static int line_in(const char *path, const char *text)
{
	FILE *f = fopen(path, "re");
	assert(f != NULL);
	char line[512];
	int found = 0;
	while (fgets(line, sizeof line, f) != NULL)
		found |= strstr(line, text) != NULL;
	fclose(f);
	return found;
}

int main(void)
{
	int container = enter_new_netns();
	if (container < 0) {
		printf("skipped: no right to make a network namespace\n");
		return 0;
	}
	int inner = nl_open(NULL);
	assert(inner >= 0);
	int host = enter_new_netns();
	assert(host >= 0);
	int nl = nl_open(NULL);
	assert(nl >= 0);

	OK(nl_bridge_create(nl, "gybr", BRIDGE_MAC, 1400, &err));
	OK(nl_bridge_create(nl, "gybr", BRIDGE_MAC, 1400, &err));
	FAILS(EEXIST, nl_bridge_create(nl, "lo", BRIDGE_MAC, 1500, &err));
	FAILS(EINVAL, nl_bridge_create(nl, "a-name-too-long-for-a-link", BRIDGE_MAC, 1500, &err));
	FAILS(EINVAL, nl_bridge_create(nl, "", BRIDGE_MAC, 1500, &err));
	OK(nl_link_up(nl, "gybr", &err));

	struct in_addr gateway, addr;
	inet_pton(AF_INET, "172.17.0.1", &gateway);
	inet_pton(AF_INET, "172.17.0.2", &addr);
	OK(nl_addr_add(nl, "gybr", AF_INET, &gateway, 16, &err));
	OK(nl_addr_add(nl, "gybr", AF_INET, &gateway, 16, &err));
	FAILS(EINVAL, nl_addr_add(nl, "gybr", AF_INET, &gateway, 33, &err));
	FAILS(EINVAL, nl_addr_add(nl, "gybr", AF_UNIX, &gateway, 16, &err));
	FAILS(ENODEV, nl_addr_add(nl, "nolink", AF_INET, &gateway, 16, &err));
	assert(broadcast_of("gybr") == inet_addr("172.17.255.255"));

	/* Step by step, as documented in netlink.h. */
	OK(nl_veth_create(nl, "gyv0", "eth0", PEER_MAC, 1400, container, &err));
	FAILS(EEXIST, nl_veth_create(nl, "gyv0", "eth9", PEER_MAC, 1400, container, &err));
	OK(nl_link_set_master(nl, "gyv0", "gybr", &err));
	OK(nl_link_up(nl, "gyv0", &err));
	FAILS(ENODEV, nl_link_set_master(nl, "gyv0", "nobridge", &err));
	OK(nl_link_up(inner, "lo", &err));
	OK(nl_link_up(inner, "eth0", &err));
	OK(nl_addr_add(inner, "eth0", AF_INET, &addr, 16, &err));
	OK(nl_route_default(inner, AF_INET, &gateway, "eth0", &err));
	OK(nl_route_default(inner, AF_INET, &gateway, "eth0", &err));
	assert(line_in("/proc/thread-self/net/dev", "gyv0"));
	assert(!line_in("/proc/thread-self/net/dev", "eth0"));

	/* In one message. */
	FAILS(ENODEV, nl_veth_attach(nl, "nobridge", "gyv1", "eth1", NULL, 1400, container, &err));
	OK(nl_veth_attach(nl, "gybr", "gyv1", "eth1", NULL, 1400, container, &err));
	assert(nl_link_index(nl, "gyv1", NULL) > 0);
	OK(nl_link_up(inner, "eth1", &err));

	struct in6_addr six;
	inet_pton(AF_INET6, "fd00:1::2", &six);
	OK(nl_addr_add(inner, "eth1", AF_INET6, &six, 64, &err));
	struct in6_addr six_gateway;
	inet_pton(AF_INET6, "fd00:1::1", &six_gateway);
	OK(nl_route_default(inner, AF_INET6, &six_gateway, "eth1", &err));

	assert(setns(container, CLONE_NEWNET) == 0);
	assert(line_in("/proc/thread-self/net/route", "eth0\t00000000\t010011AC"));
	assert(line_in("/proc/thread-self/net/if_inet6", "fd000001000000000000000000000002"));
	assert(setns(host, CLONE_NEWNET) == 0);

	/* Without a permanent flag of its own the pair goes when either end goes. */
	OK(nl_link_delete(nl, "gyv0", &err));
	OK(nl_link_delete(nl, "gyv0", &err));
	FAILS(ENODEV, nl_link_index(inner, "eth0", &err));
	OK(nl_link_delete(nl, "gyv1", &err));
	OK(nl_link_delete(nl, "gybr", &err));
	FAILS(ENODEV, nl_link_index(nl, "gybr", &err));

	close(nl);
	close(inner);
	close(host);
	close(container);
	return 0;
}
