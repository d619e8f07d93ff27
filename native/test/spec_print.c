/* Not a test of its own: prints the start request it reads, field by field, for libs/runtime/src/spec-wire.test.ts to compare. */
#include <unistd.h>

#include "../src/spec.h"
#include "check.h"

static void s(const char *name, const char *v) { v == NULL ? printf("%s null\n", name) : printf("%s \"%s\"\n", name, v); }
static void i(const char *name, long long v) { printf("%s %lld\n", name, v); }
static void b(const char *name, bool v) { printf("%s %s\n", name, v ? "true" : "false"); }
static void m(const char *name, struct maybe_i64 v) { v.set ? i(name, v.v) : s(name, NULL); }
static void l(const char *name, struct strs v)
{
	printf("%s [%u]\n", name, v.n);
	for (uint32_t k = 0; k < v.n; k++)
		s(name, v.v[k]);
}
static void n(const char *name, uint32_t count) { printf("%s [%u]\n", name, count); }

#define S(of, field) s(#field, (of)->field)
#define I(of, field) i(#field, (long long)(of)->field)
#define B(of, field) b(#field, (of)->field)
#define M(of, field) m(#field, (of)->field)
#define L(of, field) l(#field, (of)->field)

static void cgroup(const struct cgroup *c)
{
	S(c, path); M(c, memory); M(c, memory_swap); M(c, memory_reservation); M(c, pids); M(c, cpu_shares); M(c, cpu_quota); M(c, cpu_period);
	S(c, cpuset_cpus); S(c, cpuset_mems); M(c, blkio_weight); B(c, oom_kill_disable); L(c, device_rules);
}

static void mappings(const char *name, uint32_t count, const struct id_mapping *map)
{
	n(name, count);
	for (uint32_t k = 0; k < count; k++) {
		I(&map[k], container_id); I(&map[k], host_id); I(&map[k], size);
	}
}

int main(void)
{
	static uint8_t message[1 << 20];
	size_t len = 0;
	for (ssize_t got; (got = read(0, message + len, sizeof message - len)) > 0;)
		len += (size_t)got;
	struct arena arena = { 0 };
	struct rd r = { .at = message + WIRE_HEADER, .end = message + len, .arena = &arena };
	struct spec spec, *p = &spec;
	EQ(message[4], WIRE_START);
	i("version", rd_u32(&r));
	i("attach", rd_u32(&r));
	OK(spec_decode(&r, p, &err));
	S(p, id); S(p, dir); L(p, args); L(p, env); S(p, cwd); S(p, user); L(p, additional_groups); S(p, hostname); S(p, domainname);
	B(p, terminal); B(p, open_stdin); B(p, stdin_once); I(p, console_height); I(p, console_width);
	S(&p->rootfs, base); L(&p->rootfs, lowers); S(&p->rootfs, upper); S(&p->rootfs, work); b("volatile", p->rootfs.is_volatile);
	B(p, readonly_rootfs);
	n("mounts", p->n_mounts);
	for (uint32_t k = 0; k < p->n_mounts; k++) {
		S(&p->mounts[k], destination); S(&p->mounts[k], type); S(&p->mounts[k], source); L(&p->mounts[k], options);
	}
	const struct namespaces *ns = &p->namespaces;
	S(ns, mount); S(ns, pid); S(ns, network); S(ns, ipc); S(ns, uts); S(ns, cgroup); S(ns, user);
	mappings("uid_mappings", p->n_uid_mappings, p->uid_mappings);
	mappings("gid_mappings", p->n_gid_mappings, p->gid_mappings);
	n("networks", p->n_networks);
	for (uint32_t k = 0; k < p->n_networks; k++) {
		const struct interface *f = &p->networks[k];
		S(f, bridge); S(f, host_name); S(f, name); S(f, mac); L(f, addresses); S(f, gateway); S(f, gateway6); I(f, mtu);
	}
	B(p, dns); L(p, capabilities);
	if (p->seccomp.mode == SECCOMP_CUSTOM)
		printf("seccomp %x %u rules\n", p->seccomp.default_action, p->seccomp.n_rules);
	else
		b("seccomp", p->seccomp.mode == SECCOMP_DEFAULT);
	B(p, no_new_privileges);
	n("rlimits", p->n_rlimits);
	for (uint32_t k = 0; k < p->n_rlimits; k++) {
		S(&p->rlimits[k], type); I(&p->rlimits[k], soft); I(&p->rlimits[k], hard);
	}
	n("sysctls", p->n_sysctls);
	for (uint32_t k = 0; k < p->n_sysctls; k++) {
		S(&p->sysctls[k], name); S(&p->sysctls[k], value);
	}
	n("devices", p->n_devices);
	for (uint32_t k = 0; k < p->n_devices; k++) {
		const struct device *d = &p->devices[k];
		S(d, path); S(d, type); I(d, major); I(d, minor); I(d, mode); I(d, uid); I(d, gid); S(d, access);
	}
	L(p, masked_paths); L(p, readonly_paths); B(p, privileged); B(p, init);
	cgroup(&p->cgroup);
	M(p, oom_score_adj); M(p, umask); S(p, stop_signal);
	if (p->log) {
		I(&p->log_bound, max_bytes); I(&p->log_bound, max_files);
	} else {
		s("log", NULL);
	}
	arena_free(&arena);
	return 0;
}
