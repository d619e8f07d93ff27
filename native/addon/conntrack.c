#include "conntrack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "napi-util.h"

enum { BUFFER = 65536, TUPLE_MAX = 256, FLOWS_MAX = 65536 };

/* What is needed to delete a flow: its original tuple, as the kernel wrote it, and its ID (a newer flow of this tuple stays). */
struct flow {
	uint8_t family;
	uint32_t id;
	uint16_t tuple_len;
	uint8_t tuple[TUPLE_MAX];
};

struct flows {
	struct flow *at;
	size_t n, cap;
};

static const struct nlattr *attr_find(const void *data, size_t len, uint16_t type)
{
	const uint8_t *p = data;
	while (len >= NLA_HDRLEN) {
		const struct nlattr *a = (const void *)p;
		if (a->nla_len < NLA_HDRLEN || a->nla_len > len)
			return NULL;
		if ((a->nla_type & NLA_TYPE_MASK) == type)
			return a;
		size_t step = NLA_ALIGN(a->nla_len);
		if (step > len)
			return NULL;
		p += step;
		len -= step;
	}
	return NULL;
}

static const struct nlattr *attr_in(const struct nlattr *outer, uint16_t type)
{
	return outer == NULL ? NULL : attr_find((const uint8_t *)outer + NLA_HDRLEN, outer->nla_len - NLA_HDRLEN, type);
}

/* The value of an attribute of exactly `size` bytes; false when it is absent. */
static bool attr_read(const struct nlattr *a, void *out, size_t size)
{
	if (a == NULL || a->nla_len < NLA_HDRLEN + size)
		return false;
	memcpy(out, (const uint8_t *)a + NLA_HDRLEN, size);
	return true;
}

static bool wanted(const struct nlattr *tuple, uint32_t status, const uint16_t *ports, size_t n)
{
	const struct nlattr *proto = attr_in(tuple, CTA_TUPLE_PROTO);
	uint8_t number;
	uint16_t port;
	if (!attr_read(attr_in(proto, CTA_PROTO_NUM), &number, sizeof number) || number != IPPROTO_UDP ||
	    !attr_read(attr_in(proto, CTA_PROTO_DST_PORT), &port, sizeof port))
		return false;
	if (!(status & IPS_DST_NAT) && (status & (IPS_SEEN_REPLY | IPS_SRC_NAT)))
		return false;
	for (size_t i = 0; i < n; i++)
		if (ports[i] == ntohs(port))
			return true;
	return false;
}

static int keep(struct flows *f, uint8_t family, uint32_t id, const struct nlattr *tuple, struct err *err)
{
	if (tuple->nla_len > TUPLE_MAX || f->n >= FLOWS_MAX)
		return 0;
	if (f->n == f->cap) {
		size_t cap = f->cap == 0 ? 64 : f->cap * 2;
		struct flow *at = realloc(f->at, cap * sizeof *at);
		if (at == NULL)
			return err_set(err, ENOMEM, "out of memory");
		f->at = at;
		f->cap = cap;
	}
	struct flow *flow = &f->at[f->n++];
	flow->family = family;
	flow->id = id;
	flow->tuple_len = tuple->nla_len;
	memcpy(flow->tuple, tuple, tuple->nla_len);
	return 0;
}

static int consider(const struct nlmsghdr *h, const uint16_t *ports, size_t n, struct flows *out, struct err *err)
{
	if (h->nlmsg_len < NLMSG_LENGTH(sizeof(struct nfgenmsg)))
		return 0;
	const struct nfgenmsg *g = NLMSG_DATA(h);
	const uint8_t *attrs = (const uint8_t *)g + NLMSG_ALIGN(sizeof *g);
	size_t len = h->nlmsg_len - NLMSG_LENGTH(sizeof *g);
	const struct nlattr *tuple = attr_find(attrs, len, CTA_TUPLE_ORIG);
	uint32_t status, id;
	if (tuple == NULL || !attr_read(attr_find(attrs, len, CTA_STATUS), &status, sizeof status) ||
	    !attr_read(attr_find(attrs, len, CTA_ID), &id, sizeof id) || !wanted(tuple, ntohl(status), ports, n))
		return 0;
	return keep(out, g->nfgen_family, id, tuple, err);
}

static int send_message(int nl, const void *message, size_t len, struct err *err)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	if (sendto(nl, message, len, 0, (struct sockaddr *)&kernel, sizeof kernel) < 0)
		return err_set(err, errno, "conntrack: netlink send: %s", strerror(errno));
	return 0;
}

/* Reads answers until the end of the dump or the acknowledgement; `out` NULL: only that. Answers the kernel's errno, or 0. */
static int receive(int nl, const uint16_t *ports, size_t n, struct flows *out, struct err *err)
{
	cleanup_free uint8_t *buffer = malloc(BUFFER);
	if (buffer == NULL)
		return err_set(err, ENOMEM, "out of memory");
	for (;;) {
		ssize_t got = recv(nl, buffer, BUFFER, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_set(err, errno, "conntrack: netlink receive: %s", strerror(errno));
		unsigned left = (unsigned)got;
		for (const struct nlmsghdr *h = (const void *)buffer; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
			if (h->nlmsg_type == NLMSG_DONE)
				return 0;
			if (h->nlmsg_type == NLMSG_ERROR) {
				const struct nlmsgerr *e = NLMSG_DATA(h);
				if (h->nlmsg_len < NLMSG_LENGTH(sizeof *e))
					return err_set(err, EBADMSG, "conntrack: malformed netlink answer");
				return e->error == 0 ? 0 : err_set(err, -e->error, "conntrack: %s", strerror(-e->error));
			}
			if (out != NULL && consider(h, ports, n, out, err) < 0)
				return -1;
		}
	}
}

struct head {
	struct nlmsghdr nl;
	struct nfgenmsg nf;
};

static struct head head(uint8_t message, uint16_t flags, uint8_t family)
{
	struct head h = { 0 };
	h.nl.nlmsg_len = sizeof h;
	h.nl.nlmsg_type = (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | message);
	h.nl.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	h.nf.nfgen_family = family;
	h.nf.version = NFNETLINK_V0;
	return h;
}

static int forget(int nl, const struct flow *flow, struct err *err)
{
	struct {
		struct head head;
		uint8_t attrs[NLA_ALIGN(TUPLE_MAX) + NLA_HDRLEN + sizeof flow->id];
	} m = { .head = head(IPCTNL_MSG_CT_DELETE, NLM_F_ACK, flow->family) };
	size_t at = NLA_ALIGN(flow->tuple_len);
	memcpy(m.attrs, flow->tuple, flow->tuple_len);
	struct nlattr id = { .nla_len = NLA_HDRLEN + sizeof flow->id, .nla_type = CTA_ID };
	memcpy(m.attrs + at, &id, sizeof id);
	memcpy(m.attrs + at + NLA_HDRLEN, &flow->id, sizeof flow->id);
	m.head.nl.nlmsg_len = (uint32_t)(sizeof m.head + at + id.nla_len);
	struct err own = { 0 };
	if (send_message(nl, &m, m.head.nl.nlmsg_len, err) < 0)
		return -1;
	/* ENOENT: it ended by itself meanwhile. */
	if (receive(nl, NULL, 0, NULL, &own) < 0 && own.code != ENOENT)
		return err_set(err, own.code, "%s", own.msg);
	return 0;
}

int conntrack_forget_udp(const uint16_t *ports, size_t n, struct err *err)
{
	cleanup_fd int nl = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	if (nl < 0)
		return errno == EPROTONOSUPPORT ? 0 : err_set(err, errno, "open netlink socket: %s", strerror(errno));
	struct head dump = head(IPCTNL_MSG_CT_GET, NLM_F_DUMP, AF_UNSPEC);
	struct flows flows = { 0 };
	struct err own = { 0 };
	int rc = send_message(nl, &dump, sizeof dump, &own);
	if (rc == 0)
		rc = receive(nl, ports, n, &flows, &own);
	for (size_t i = 0; rc == 0 && i < flows.n; i++)
		rc = forget(nl, &flows.at[i], &own);
	free(flows.at);
	/* EINVAL: no module answers for the subsystem. */
	if (rc == 0 || own.code == EINVAL || own.code == EOPNOTSUPP)
		return 0;
	return err_set(err, own.code, "%s", own.msg);
}
