#include "netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Older headers lack it; the value is the kernel's. */
#ifndef NETLINK_CAP_ACK
#define NETLINK_CAP_ACK 10
#endif

enum {
	REQUEST_MAX = 1024, /* our largest request is below 300 bytes */
	REPLY_MAX = 32768,  /* a link's description with statistics and offloads is about 2 kB */
};

struct request {
	union {
		struct nlmsghdr head;
		uint8_t bytes[REQUEST_MAX];
	};
	bool overflow;
};

static void request_init(struct request *r, uint16_t type, uint16_t flags)
{
	memset(r, 0, sizeof *r);
	r->head.nlmsg_len = NLMSG_HDRLEN;
	r->head.nlmsg_type = type;
	r->head.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
}

/* Room for `len` bytes at the aligned end of the message, zeroed; NULL (and overflow set) when it is full. */
static void *reserve(struct request *r, size_t len)
{
	size_t at = NLMSG_ALIGN(r->head.nlmsg_len);
	if (len > REQUEST_MAX || at + NLMSG_ALIGN(len) > REQUEST_MAX) {
		r->overflow = true;
		return NULL;
	}
	r->head.nlmsg_len = (uint32_t)(at + len);
	return r->bytes + at;
}

static void put_struct(struct request *r, const void *data, size_t len)
{
	void *to = reserve(r, len);
	if (to != NULL)
		memcpy(to, data, len);
}

static void put_attr(struct request *r, uint16_t type, const void *data, size_t len)
{
	struct rtattr *a = reserve(r, RTA_LENGTH(len));
	if (a == NULL)
		return;
	a->rta_type = type;
	a->rta_len = (uint16_t)RTA_LENGTH(len);
	if (len > 0)
		memcpy(RTA_DATA(a), data, len);
}

static void put_string(struct request *r, uint16_t type, const char *text)
{
	put_attr(r, type, text, strlen(text) + 1);
}

static void put_u32(struct request *r, uint16_t type, uint32_t value)
{
	put_attr(r, type, &value, sizeof value);
}

/* Opens a nested attribute and answers its offset for nest_end. */
static size_t nest_begin(struct request *r, uint16_t type)
{
	size_t at = NLMSG_ALIGN(r->head.nlmsg_len);
	put_attr(r, type, NULL, 0);
	return at;
}

static void nest_end(struct request *r, size_t at)
{
	if (!r->overflow)
		((struct rtattr *)(void *)(r->bytes + at))->rta_len = (uint16_t)(r->head.nlmsg_len - at);
}

int nl_open(struct err *err)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0)
		return err_set(err, errno, "open netlink socket: %s", strerror(errno));
	/* The kernel's own words with a refusal, without our request echoed. Kernels without these still answer errno. */
	int one = 1;
	setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof one);
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof one);
	return fd;
}

/* The kernel's explanation in an error message, or NULL. */
static const char *ext_ack(const struct nlmsghdr *head)
{
	if (!(head->nlmsg_flags & NLM_F_ACK_TLVS))
		return NULL;
	size_t at = NLMSG_LENGTH(sizeof(struct nlmsgerr));
	if (!(head->nlmsg_flags & NLM_F_CAPPED)) {
		const struct nlmsgerr *e = NLMSG_DATA(head);
		if (e->msg.nlmsg_len > NLMSG_HDRLEN)
			at += NLMSG_ALIGN(e->msg.nlmsg_len - NLMSG_HDRLEN);
	}
	while (at + sizeof(struct rtattr) <= head->nlmsg_len) {
		const struct rtattr *a = (const void *)((const uint8_t *)head + at);
		if (a->rta_len < sizeof *a || at + a->rta_len > head->nlmsg_len)
			return NULL;
		size_t len = a->rta_len - RTA_LENGTH(0);
		const char *text = RTA_DATA(a);
		if ((a->rta_type & NLA_TYPE_MASK) == NLMSGERR_ATTR_MSG && len > 0 && text[len - 1] == '\0')
			return text;
		at += RTA_ALIGN(a->rta_len);
	}
	return NULL;
}

/* What one exchange brought: the link of a GETLINK answer, when asked for. */
struct link {
	int index;
	char kind[32];
};

static void read_link(const struct nlmsghdr *head, struct link *out)
{
	const struct ifinfomsg *info = NLMSG_DATA(head);
	out->index = info->ifi_index;
	out->kind[0] = '\0';
	int left = (int)head->nlmsg_len - (int)NLMSG_LENGTH(sizeof *info);
	for (const struct rtattr *a = IFLA_RTA(info); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		if ((a->rta_type & NLA_TYPE_MASK) != IFLA_LINKINFO)
			continue;
		int inner = (int)RTA_PAYLOAD(a);
		for (const struct rtattr *b = RTA_DATA(a); RTA_OK(b, inner); b = RTA_NEXT(b, inner))
			if (b->rta_type == IFLA_INFO_KIND)
				snprintf(out->kind, sizeof out->kind, "%.*s", (int)RTA_PAYLOAD(b), (const char *)RTA_DATA(b));
	}
}

static int receive(int nl, void *buffer, size_t size, ssize_t *got, struct err *err)
{
	do
		*got = recv(nl, buffer, size, MSG_TRUNC);
	while (*got < 0 && errno == EINTR);
	if (*got < 0)
		return err_set(err, errno, "netlink receive: %s", strerror(errno));
	if ((size_t)*got > size)
		return err_set(err, EMSGSIZE, "netlink answer of %zd bytes is too large", *got);
	return 0;
}

/*
 * Sends one request and reads until its acknowledgement. `what` and `name` are for the error; `link` takes a GETLINK answer.
 * err->code is the kernel's errno.
 */
static int exchange(int nl, struct request *r, const char *what, const char *name, struct link *link, struct err *err)
{
	static _Thread_local uint32_t sequence;
	if (r->overflow)
		return err_set(err, EMSGSIZE, "%s %s: netlink message is too long", what, name);
	r->head.nlmsg_seq = ++sequence;
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	ssize_t sent;
	do
		sent = sendto(nl, r->bytes, r->head.nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof kernel);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return err_set(err, errno, "%s %s: netlink send: %s", what, name, strerror(errno));

	_Alignas(struct nlmsghdr) uint8_t reply[REPLY_MAX];
	for (;;) {
		ssize_t got;
		if (receive(nl, reply, sizeof reply, &got, err) < 0)
			return -1;
		unsigned left = (unsigned)got;
		for (const struct nlmsghdr *h = (const void *)reply; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
			if (h->nlmsg_seq != sequence)
				continue; /* the rest of an exchange that was given up */
			if (h->nlmsg_type == RTM_NEWLINK && link != NULL && h->nlmsg_len >= NLMSG_LENGTH(sizeof(struct ifinfomsg)))
				read_link(h, link);
			if (h->nlmsg_type != NLMSG_ERROR)
				continue;
			if (h->nlmsg_len < NLMSG_LENGTH(sizeof(struct nlmsgerr)))
				return err_set(err, EBADMSG, "%s %s: malformed netlink answer", what, name);
			const struct nlmsgerr *e = NLMSG_DATA(h);
			if (e->error == 0)
				return 0;
			const char *why = ext_ack(h);
			return err_set(err, -e->error, "%s %s: %s%s%s", what, name, strerror(-e->error), why ? ": " : "", why ? why : "");
		}
	}
}

static int check_name(const char *name, struct err *err)
{
	size_t len = strlen(name);
	if (len == 0 || len >= IFNAMSIZ)
		return err_set(err, EINVAL, "interface name \"%s\": must have 1 to %d characters", name, IFNAMSIZ - 1);
	return 0;
}

static int get_link(int nl, const char *name, struct link *link, struct err *err)
{
	if (check_name(name, err) < 0)
		return -1;
	struct request r;
	struct ifinfomsg info = { .ifi_family = AF_UNSPEC };
	link->index = 0;
	link->kind[0] = '\0';
	request_init(&r, RTM_GETLINK, 0);
	put_struct(&r, &info, sizeof info);
	put_string(&r, IFLA_IFNAME, name);
	/* Statistics would make up most of the answer. */
	put_u32(&r, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	if (exchange(nl, &r, "find link", name, link, err) < 0)
		return -1;
	if (link->index <= 0)
		return err_set(err, ENODEV, "find link %s: no answer", name);
	return 0;
}

int nl_link_index(int nl, const char *name, struct err *err)
{
	struct link link;
	return get_link(nl, name, &link, err) < 0 ? -1 : link.index;
}

/* After EEXIST: no error when the link that is there is of this kind. */
static int same_kind(int nl, const char *name, const char *kind, struct err *err)
{
	struct link link;
	if (get_link(nl, name, &link, err) < 0)
		return -1;
	if (strcmp(link.kind, kind) != 0)
		return err_set(err, EEXIST, "create %s %s: a link of this name exists and is no %s", kind, name, kind);
	return 0;
}

/*
 * `master` 0: none. `up`: the host's end comes up with the same message. The peer cannot: the kernel configures it before the
 * two are joined, and opening one alone answers ENOTCONN.
 */
static int veth(int nl, const char *host, const char *peer, const uint8_t *mac, int mtu, int peer_netns, int master, bool up,
		struct err *err)
{
	if (check_name(host, err) < 0 || check_name(peer, err) < 0)
		return -1;
	struct request r;
	struct ifinfomsg info = {
		.ifi_family = AF_UNSPEC,
		.ifi_flags = up ? IFF_UP : 0,
		.ifi_change = up ? IFF_UP : 0,
	};
	request_init(&r, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	put_struct(&r, &info, sizeof info);
	put_string(&r, IFLA_IFNAME, host);
	if (mtu > 0)
		put_u32(&r, IFLA_MTU, (uint32_t)mtu);
	if (master > 0)
		put_u32(&r, IFLA_MASTER, (uint32_t)master);
	size_t link_info = nest_begin(&r, IFLA_LINKINFO);
	put_string(&r, IFLA_INFO_KIND, "veth");
	size_t data = nest_begin(&r, IFLA_INFO_DATA);
	size_t other = nest_begin(&r, VETH_INFO_PEER);
	struct ifinfomsg peer_info = { .ifi_family = AF_UNSPEC };
	put_struct(&r, &peer_info, sizeof peer_info);
	put_string(&r, IFLA_IFNAME, peer);
	if (mtu > 0)
		put_u32(&r, IFLA_MTU, (uint32_t)mtu);
	if (mac != NULL)
		put_attr(&r, IFLA_ADDRESS, mac, 6);
	put_u32(&r, IFLA_NET_NS_FD, (uint32_t)peer_netns);
	nest_end(&r, other);
	nest_end(&r, data);
	nest_end(&r, link_info);
	return exchange(nl, &r, "create veth", host, NULL, err);
}

int nl_veth_create(int nl, const char *host, const char *peer, const uint8_t mac[6], int mtu, int peer_netns, struct err *err)
{
	return veth(nl, host, peer, mac, mtu, peer_netns, 0, false, err);
}

int nl_veth_attach(int nl, const char *bridge, const char *host, const char *peer, const uint8_t mac[6], int mtu, int peer_netns,
		   struct err *err)
{
	int master = nl_link_index(nl, bridge, err);
	if (master < 0)
		return -1;
	return veth(nl, host, peer, mac, mtu, peer_netns, master, true, err);
}

int nl_bridge_create(int nl, const char *name, const uint8_t mac[6], int mtu, struct err *err)
{
	if (check_name(name, err) < 0)
		return -1;
	struct request r;
	struct ifinfomsg info = { .ifi_family = AF_UNSPEC };
	request_init(&r, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	put_struct(&r, &info, sizeof info);
	put_string(&r, IFLA_IFNAME, name);
	if (mtu > 0)
		put_u32(&r, IFLA_MTU, (uint32_t)mtu);
	if (mac != NULL)
		put_attr(&r, IFLA_ADDRESS, mac, 6);
	size_t link_info = nest_begin(&r, IFLA_LINKINFO);
	put_string(&r, IFLA_INFO_KIND, "bridge");
	nest_end(&r, link_info);
	struct err own = { 0 };
	if (exchange(nl, &r, "create bridge", name, NULL, &own) == 0)
		return 0;
	if (own.code == EEXIST)
		return same_kind(nl, name, "bridge", err);
	return err_set(err, own.code, "%s", own.msg);
}

int nl_link_set_master(int nl, const char *name, const char *bridge, struct err *err)
{
	int master = nl_link_index(nl, bridge, err);
	if (master < 0 || check_name(name, err) < 0)
		return -1;
	struct request r;
	struct ifinfomsg info = { .ifi_family = AF_UNSPEC };
	request_init(&r, RTM_NEWLINK, 0);
	put_struct(&r, &info, sizeof info);
	put_string(&r, IFLA_IFNAME, name);
	put_u32(&r, IFLA_MASTER, (uint32_t)master);
	return exchange(nl, &r, "add to bridge", name, NULL, err);
}

int nl_link_up(int nl, const char *name, struct err *err)
{
	if (check_name(name, err) < 0)
		return -1;
	struct request r;
	struct ifinfomsg info = { .ifi_family = AF_UNSPEC, .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
	request_init(&r, RTM_NEWLINK, 0);
	put_struct(&r, &info, sizeof info);
	put_string(&r, IFLA_IFNAME, name);
	return exchange(nl, &r, "set link up", name, NULL, err);
}

int nl_link_delete(int nl, const char *name, struct err *err)
{
	if (check_name(name, err) < 0)
		return -1;
	struct request r;
	struct ifinfomsg info = { .ifi_family = AF_UNSPEC };
	request_init(&r, RTM_DELLINK, 0);
	put_struct(&r, &info, sizeof info);
	put_string(&r, IFLA_IFNAME, name);
	struct err own = { 0 };
	if (exchange(nl, &r, "delete link", name, NULL, &own) == 0 || own.code == ENODEV)
		return 0;
	return err_set(err, own.code, "%s", own.msg);
}

/* Bytes of an address of the family, or 0. */
static size_t address_size(int family)
{
	return family == AF_INET ? 4 : family == AF_INET6 ? 16 : 0;
}

int nl_addr_add(int nl, const char *name, int family, const void *addr, int prefix, struct err *err)
{
	size_t size = address_size(family);
	if (size == 0 || prefix < 0 || prefix > (int)size * 8)
		return err_set(err, EINVAL, "add address to %s: bad family %d or prefix %d", name, family, prefix);
	int index = nl_link_index(nl, name, err);
	if (index < 0)
		return -1;
	struct request r;
	struct ifaddrmsg info = {
		.ifa_family = (uint8_t)family,
		.ifa_prefixlen = (uint8_t)prefix,
		/* The address is ours by allocation: usable at once, without probing for a duplicate. */
		.ifa_flags = family == AF_INET6 ? IFA_F_NODAD : 0,
		.ifa_scope = RT_SCOPE_UNIVERSE,
		.ifa_index = (uint32_t)index,
	};
	request_init(&r, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
	put_struct(&r, &info, sizeof info);
	put_attr(&r, IFA_LOCAL, addr, size);
	put_attr(&r, IFA_ADDRESS, addr, size);
	if (family == AF_INET && prefix < 31) {
		uint32_t own;
		memcpy(&own, addr, sizeof own);
		uint32_t broadcast = own | htonl(prefix == 0 ? 0xffffffffU : 0xffffffffU >> prefix);
		put_attr(&r, IFA_BROADCAST, &broadcast, sizeof broadcast);
	}
	struct err own = { 0 };
	if (exchange(nl, &r, "add address to", name, NULL, &own) == 0 || own.code == EEXIST)
		return 0;
	return err_set(err, own.code, "%s", own.msg);
}

int nl_route_default(int nl, int family, const void *gateway, const char *name, struct err *err)
{
	size_t size = address_size(family);
	if (size == 0)
		return err_set(err, EINVAL, "add default route by %s: bad family %d", name, family);
	int index = nl_link_index(nl, name, err);
	if (index < 0)
		return -1;
	struct request r;
	struct rtmsg info = {
		.rtm_family = (uint8_t)family,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_BOOT,
		.rtm_scope = RT_SCOPE_UNIVERSE,
		.rtm_type = RTN_UNICAST,
	};
	request_init(&r, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
	put_struct(&r, &info, sizeof info);
	put_attr(&r, RTA_GATEWAY, gateway, size);
	put_u32(&r, RTA_OIF, (uint32_t)index);
	struct err own = { 0 };
	if (exchange(nl, &r, "add default route by", name, NULL, &own) == 0 || own.code == EEXIST)
		return 0;
	return err_set(err, own.code, "%s", own.msg);
}
