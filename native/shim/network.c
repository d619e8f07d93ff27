#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "../src/netlink.h"
#include "monitor.h"

static int parse_mac(const char *text, uint8_t mac[6], struct err *err)
{
	char end;
	if (sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%c", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4], &mac[5], &end) != 6)
		return err_set(err, EINVAL, "invalid MAC address %s", text);
	return 0;
}

static int parse_ip(const char *text, int *family, uint8_t addr[16], struct err *err)
{
	*family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
	return inet_pton(*family, text, addr) == 1 ? 0 : err_set(err, EINVAL, "invalid address %s", text);
}

/* Of the interface that is in the container already, through a socket of its namespace. */
static int configure(int nl, const struct interface *n, struct err *err)
{
	int family;
	uint8_t addr[16];
	for (uint32_t i = 0; i < n->addresses.n; i++) {
		char text[64];
		const char *slash = strchr(n->addresses.v[i], '/');
		if (slash == NULL || snprintf(text, sizeof text, "%.*s", (int)(slash - n->addresses.v[i]), n->addresses.v[i]) >= (int)sizeof text)
			return err_set(err, EINVAL, "invalid address %s", n->addresses.v[i]);
		int prefix = atoi(slash + 1);
		if (parse_ip(text, &family, addr, err) < 0 || nl_addr_add(nl, n->name, family, addr, prefix, err) < 0)
			return -1;
	}
	if (nl_link_up(nl, n->name, err) < 0)
		return -1;
	const char *gateways[] = { n->gateway, n->gateway6 };
	for (size_t i = 0; i < sizeof gateways / sizeof *gateways; i++)
		if (gateways[i] != NULL && (parse_ip(gateways[i], &family, addr, err) < 0 || nl_route_default(nl, family, addr, n->name, err) < 0))
			return -1;
	return 0;
}

static int veth(int nl, const struct interface *n, int netns, struct err *err)
{
	uint8_t mac[6];
	if (n->mac[0] != '\0' && parse_mac(n->mac, mac, err) < 0)
		return -1;
	return nl_veth_attach(nl, n->bridge, n->host_name, n->name, n->mac[0] != '\0' ? mac : NULL, (int)n->mtu, netns, err);
}

static int dns_socket(int type, struct err *err)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(53) };
	inet_pton(AF_INET, "127.0.0.11", &addr.sin_addr);
	autoclose fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0 || (type == SOCK_STREAM && listen(fd, 64) < 0))
		return err_set(err, errno, "open 127.0.0.11:53 in the container: %s", strerror(errno));
	int keep = fd;
	fd = -1;
	return keep;
}

/* Answers a netlink socket of the container's namespace, with lo up and the DNS sockets open. */
static int enter(const struct spec *s, int netns, int dns[2], struct err *err)
{
	autoclose home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (home < 0 || setns(netns, CLONE_NEWNET) < 0)
		return err_set(err, errno, "enter the network namespace: %s", strerror(errno));
	int nl = nl_open(err), r = nl < 0 ? -1 : nl_link_up(nl, "lo", err);
	if (r == 0 && s->dns && ((dns[0] = dns_socket(SOCK_DGRAM, err)) < 0 || (dns[1] = dns_socket(SOCK_STREAM, err)) < 0))
		r = -1;
	if (setns(home, CLONE_NEWNET) < 0) {
		fprintf(stderr, "gantry-shim: cannot return to the host's network namespace: %s\n", strerror(errno));
		_exit(1);
	}
	if (r < 0) {
		io_close_fd(&nl);
		return -1;
	}
	return nl;
}

int network_join(const struct spec *s, pid_t pid, int dns[2], struct err *err)
{
	char path[64];
	if (strcmp(s->namespaces.network, "new") != 0)
		return 0;
	snprintf(path, sizeof path, "/proc/%d/ns/net", pid);
	autoclose netns = open(path, O_RDONLY | O_CLOEXEC);
	if (netns < 0)
		return err_set(err, errno, "open %s: %s", path, strerror(errno));
	autoclose inside = enter(s, netns, dns, err);
	if (inside < 0)
		return -1;
	if (s->n_networks == 0)
		return 0;
	autoclose outside = nl_open(err);
	if (outside < 0)
		return -1;
	for (uint32_t i = 0; i < s->n_networks; i++)
		if (veth(outside, &s->networks[i], netns, err) < 0 || configure(inside, &s->networks[i], err) < 0)
			return -1;
	return 0;
}

void network_leave(const struct spec *s)
{
	if (s->n_networks == 0)
		return;
	/* The kernel does that too, some time after the namespace is gone; but names are used again at once. */
	autoclose nl = nl_open(NULL);
	for (uint32_t i = 0; nl >= 0 && i < s->n_networks; i++)
		nl_link_delete(nl, s->networks[i].host_name, NULL);
}
