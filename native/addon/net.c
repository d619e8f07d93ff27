/*
 * Links and addresses by netlink. The contract is NativeNet in libs/runtime/src/native-port.ts.
 */
#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../src/netlink.h"
#include "conntrack.h"
#include "napi-util.h"

napi_value init_net(napi_env env, napi_value exports);

enum { ADDRESSES_MAX = 16, PORTS_MAX = 1024, TEXT_MAX = 128 };

struct address {
	int family;
	int prefix;
	uint8_t bytes[16];
};

struct addresses {
	uint32_t count;
	struct address at[ADDRESSES_MAX];
};

napi_value net_error_new(napi_env env, const struct err *err, const char *syscall)
{
	const char *name = err->code > 0 ? strerrorname_np(err->code) : NULL;
	napi_value error = NULL, code = NULL, message = NULL, call = NULL;
	if (napi_create_string_utf8(env, name != NULL ? name : "UNKNOWN", NAPI_AUTO_LENGTH, &code) != napi_ok ||
	    napi_create_string_utf8(env, err->msg, NAPI_AUTO_LENGTH, &message) != napi_ok ||
	    napi_create_string_utf8(env, syscall, NAPI_AUTO_LENGTH, &call) != napi_ok ||
	    napi_create_error(env, code, message, &error) != napi_ok)
		return NULL;
	set_named(env, error, "errno", value_i32(env, -err->code));
	set_named(env, error, "syscall", call);
	return error;
}

static napi_value throw_err(napi_env env, const struct err *err, const char *syscall)
{
	napi_value error = net_error_new(env, err, syscall);
	if (error != NULL)
		napi_throw(env, error);
	return NULL;
}

/* ---- arguments: false leaves an exception pending ---- */

static bool arg_mac(napi_env env, napi_value value, uint8_t mac[6])
{
	char text[TEXT_MAX];
	unsigned b[6];
	int used = 0;
	if (!arg_str(env, value, text, sizeof text))
		return false;
	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &used) != 6 || text[used] != '\0') {
		type_error(env, "invalid MAC address");
		return false;
	}
	for (int i = 0; i < 6; i++)
		mac[i] = (uint8_t)b[i];
	return true;
}

static bool parse_prefix(const char *text, int max, int *out)
{
	char *end;
	long n = strtol(text, &end, 10);
	*out = (int)n;
	return end != text && *end == '\0' && n >= 0 && n <= max;
}

static bool arg_address(napi_env env, napi_value value, bool with_prefix, struct address *out)
{
	char text[TEXT_MAX];
	if (!arg_str(env, value, text, sizeof text))
		return false;
	char *slash = strchr(text, '/');
	if (slash != NULL)
		*slash = '\0';
	out->family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
	out->prefix = 0;
	if ((slash != NULL) != with_prefix || inet_pton(out->family, text, out->bytes) != 1 ||
	    (with_prefix && !parse_prefix(slash + 1, out->family == AF_INET ? 32 : 128, &out->prefix))) {
		type_error(env, with_prefix ? "an address with a prefix length is needed" : "an address without a prefix length is needed");
		return false;
	}
	return true;
}

static bool arg_addresses(napi_env env, napi_value value, struct addresses *out)
{
	bool is_array = false;
	if (napi_is_array(env, value, &is_array) != napi_ok || !is_array ||
	    napi_get_array_length(env, value, &out->count) != napi_ok || out->count > ADDRESSES_MAX) {
		type_error(env, "an array of at most 16 addresses is needed");
		return false;
	}
	for (uint32_t i = 0; i < out->count; i++) {
		napi_value item;
		if (napi_get_element(env, value, i, &item) != napi_ok || !arg_address(env, item, true, &out->at[i]))
			return false;
	}
	return true;
}

/* ---- links ---- */

static int add_addresses(int nl, const char *name, const struct addresses *list, struct err *err)
{
	for (uint32_t i = 0; i < list->count; i++)
		if (nl_addr_add(nl, name, list->at[i].family, list->at[i].bytes, list->at[i].prefix, err) < 0)
			return -1;
	return 0;
}

static napi_value bridge_create(napi_env env, napi_callback_info info)
{
	struct err err = { 0 };
	napi_value a[4];
	char name[TEXT_MAX];
	uint8_t mac[6];
	int32_t mtu;
	struct addresses list;
	if (!args_get(env, info, 4, a) || !arg_str(env, a[0], name, sizeof name) || !arg_mac(env, a[1], mac) ||
	    !arg_i32(env, a[2], &mtu) || !arg_addresses(env, a[3], &list))
		return NULL;
	cleanup_fd int nl = nl_open(&err);
	if (nl < 0 || nl_bridge_create(nl, name, mac, mtu, &err) < 0 || add_addresses(nl, name, &list, &err) < 0 ||
	    nl_link_up(nl, name, &err) < 0)
		return throw_err(env, &err, "netlink");
	return value_undefined(env);
}

/* The kernel takes tens of milliseconds to be sure that nobody looks at a link any more: not on the main thread. */
struct delete_job {
	struct job job;
	char name[TEXT_MAX];
};

static int delete_run(struct job *job)
{
	struct delete_job *d = (struct delete_job *)job;
	struct err err = { 0 };
	cleanup_fd int nl = nl_open(&err);
	if (nl < 0 || nl_link_delete(nl, d->name, &err) < 0)
		return sys_error_set(&job->error, err.code, "netlink", d->name);
	return 0;
}

static void delete_clean(napi_env env, struct job *job)
{
	(void)env;
	free(job);
}

static napi_value link_delete(napi_env env, napi_callback_info info)
{
	napi_value a[1];
	struct delete_job *d = calloc(1, sizeof *d);
	if (d == NULL)
		return error_throw(env, ENOMEM, "linkDelete", NULL);
	if (!args_get(env, info, 1, a) || !arg_str(env, a[0], d->name, sizeof d->name)) {
		free(d);
		return NULL;
	}
	d->job.run = delete_run;
	d->job.clean = delete_clean;
	return job_start(env, &d->job, "gantry:linkDelete");
}

static napi_value link_exists(napi_env env, napi_callback_info info)
{
	struct err err = { 0 };
	napi_value a[1], result = NULL;
	char name[TEXT_MAX];
	if (!args_get(env, info, 1, a) || !arg_str(env, a[0], name, sizeof name))
		return NULL;
	cleanup_fd int nl = nl_open(&err);
	bool found = nl >= 0 && nl_link_index(nl, name, &err) >= 0;
	if (!found && err.code != ENODEV)
		return throw_err(env, &err, "netlink");
	napi_get_boolean(env, found, &result);
	return result;
}

/* ---- a veth pair into a running container ---- */

/* A netlink socket in another network namespace: opened by a thread of its own, which ends. Node's threads never leave theirs. */
struct inner_open {
	int netns;
	int nl;
	struct err err;
};

static void *open_inside(void *data)
{
	struct inner_open *o = data;
	if (setns(o->netns, CLONE_NEWNET) < 0)
		o->nl = err_set(&o->err, errno, "enter network namespace: %s", strerror(errno));
	else
		o->nl = nl_open(&o->err);
	return NULL;
}

static int nl_open_in(int netns, struct err *err)
{
	struct inner_open o = { .netns = netns, .nl = -1 };
	pthread_t thread;
	int rc = pthread_create(&thread, NULL, open_inside, &o);
	if (rc != 0)
		return err_set(err, rc, "start thread: %s", strerror(rc));
	pthread_join(thread, NULL);
	if (o.nl < 0)
		*err = o.err;
	return o.nl;
}

struct veth {
	char bridge[TEXT_MAX], host[TEXT_MAX], name[TEXT_MAX];
	uint8_t mac[6];
	struct addresses addresses;
	struct gateway {
		bool set;
		struct address address;
	} gateways[2];
	int32_t mtu, pid;
};

static bool arg_gateway(napi_env env, napi_value value, struct gateway *g)
{
	napi_valuetype type;
	if (napi_typeof(env, value, &type) != napi_ok)
		return false;
	g->set = type != napi_null;
	return !g->set || arg_address(env, value, false, &g->address);
}

static bool arg_veth(napi_env env, napi_value o, struct veth *v)
{
	static const char *const names[] = { "bridge", "hostName", "name", "mac", "addresses", "mtu", "netnsPid", "gateway", "gateway6" };
	napi_value p[sizeof names / sizeof *names];
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		if (napi_get_named_property(env, o, names[i], &p[i]) != napi_ok) {
			type_error(env, "an object is needed");
			return false;
		}
	}
	return arg_str(env, p[0], v->bridge, sizeof v->bridge) && arg_str(env, p[1], v->host, sizeof v->host) &&
	       arg_str(env, p[2], v->name, sizeof v->name) && arg_mac(env, p[3], v->mac) && arg_addresses(env, p[4], &v->addresses) &&
	       arg_i32(env, p[5], &v->mtu) && arg_i32(env, p[6], &v->pid) && arg_gateway(env, p[7], &v->gateways[0]) &&
	       arg_gateway(env, p[8], &v->gateways[1]);
}

static int configure_inside(int inner, const struct veth *v, struct err *err)
{
	if (nl_link_up(inner, v->name, err) < 0 || add_addresses(inner, v->name, &v->addresses, err) < 0)
		return -1;
	for (size_t i = 0; i < sizeof v->gateways / sizeof *v->gateways; i++) {
		const struct gateway *g = &v->gateways[i];
		if (g->set && nl_route_default(inner, g->address.family, g->address.bytes, v->name, err) < 0)
			return -1;
	}
	return 0;
}

static napi_value veth_create(napi_env env, napi_callback_info info)
{
	struct err err = { 0 };
	napi_value a[1];
	struct veth v;
	if (!args_get(env, info, 1, a) || !arg_veth(env, a[0], &v))
		return NULL;

	char path[64];
	snprintf(path, sizeof path, "/proc/%d/ns/net", v.pid);
	cleanup_fd int netns = open(path, O_RDONLY | O_CLOEXEC);
	if (netns < 0)
		return error_throw(env, errno, "open", path);
	cleanup_fd int nl = nl_open(&err);
	if (nl < 0)
		return throw_err(env, &err, "netlink");
	cleanup_fd int inner = nl_open_in(netns, &err);
	if (inner < 0)
		return throw_err(env, &err, "setns");
	if (nl_veth_attach(nl, v.bridge, v.host, v.name, v.mac, v.mtu, netns, &err) < 0)
		return throw_err(env, &err, "netlink");
	if (configure_inside(inner, &v, &err) < 0) {
		nl_link_delete(nl, v.host, NULL);
		return throw_err(env, &err, "netlink");
	}
	return value_undefined(env);
}

/* ---- flows ---- */

static napi_value forget_udp(napi_env env, napi_callback_info info)
{
	struct err err = { 0 };
	napi_value a[1];
	uint16_t ports[PORTS_MAX];
	uint32_t count;
	bool is_array = false;
	if (!args_get(env, info, 1, a))
		return NULL;
	if (napi_is_array(env, a[0], &is_array) != napi_ok || !is_array || napi_get_array_length(env, a[0], &count) != napi_ok ||
	    count > PORTS_MAX)
		return type_error(env, "an array of at most 1024 ports is needed");
	for (uint32_t i = 0; i < count; i++) {
		napi_value item;
		uint32_t port;
		if (napi_get_element(env, a[0], i, &item) != napi_ok || !arg_u32(env, item, &port))
			return NULL;
		ports[i] = (uint16_t)port;
	}
	if (count > 0 && conntrack_forget_udp(ports, count, &err) < 0)
		return throw_err(env, &err, "netlink");
	return value_undefined(env);
}

napi_value init_net(napi_env env, napi_value exports)
{
	static const struct fn functions[] = {
		{ "bridgeCreateSync", bridge_create }, { "linkDelete", link_delete }, { "linkExistsSync", link_exists },
		{ "vethCreateSync", veth_create },     { "forgetUdpFlowsSync", forget_udp },   { "nft", net_nft },
	};
	return export_fns(env, exports, functions, sizeof functions / sizeof *functions);
}
