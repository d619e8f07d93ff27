#include "seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "caps.h"
#include "io.h"

#if defined(__x86_64__)
#define NATIVE_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#else
#error "no seccomp architecture for this machine"
#endif

/* Since Linux 5.4 a system call has one number on every architecture. libseccomp may know none or few of these names. */
struct recent { const char *name; int nr; };
static const struct recent RECENT[] = {
	{ "memfd_secret", 447 }, { "process_mrelease", 448 }, { "futex_waitv", 449 }, { "set_mempolicy_home_node", 450 },
	{ "cachestat", 451 }, { "fchmodat2", 452 }, { "map_shadow_stack", 453 }, { "futex_wake", 454 }, { "futex_wait", 455 },
	{ "futex_requeue", 456 }, { "statmount", 457 }, { "listmount", 458 }, { "mseal", 462 }, { "setxattrat", 463 },
	{ "getxattrat", 464 }, { "listxattrat", 465 }, { "removexattrat", 466 },
};
#define N_RECENT (sizeof RECENT / sizeof *RECENT)

static int recent_number(const char *name)
{
	for (size_t i = 0; i < N_RECENT; i++)
		if (strcmp(RECENT[i].name, name) == 0)
			return RECENT[i].nr;
	return -1;
}

/* Highest number that this libseccomp has a name for; above it, a call that no rule names is answered ENOSYS. */
static int last_known(void)
{
	static int known;
	for (int nr = 440; known == 0 && nr < 600; nr++) {
		char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, nr);
		if (name == NULL)
			known = nr - 1;
		free(name);
	}
	return known;
}

/* Calls newer than libseccomp, with the actions for them, and for those that no rule names. */
struct newer { uint32_t otherwise, action[N_RECENT]; bool set[N_RECENT]; };

static bool add_newer(struct newer *newer, const char *name, uint32_t action)
{
	int nr = recent_number(name);
	if (nr <= last_known())
		return false;
	for (size_t i = 0; i < N_RECENT; i++) {
		if (RECENT[i].nr == nr) {
			newer->action[i] = action;
			newer->set[i] = true;
		}
	}
	return true;
}

static int add_rule(scmp_filter_ctx ctx, struct newer *newer, uint32_t action, const char *name, unsigned n,
		    const struct scmp_arg_cmp *args, struct err *err)
{
	if (n == 0 && add_newer(newer, name, action))
		return 0;
	int nr = seccomp_syscall_resolve_name(name);
	if (nr == __NR_SCMP_ERROR)
		return 0;
	int r = seccomp_rule_add_array(ctx, action, nr, n, args);
	/* EACCES: the action is the default one; EDOM: not on this machine. */
	if (r < 0 && r != -EACCES && r != -EDOM)
		return err_set(err, -r, "seccomp rule for %s: %s", name, strerror(-r));
	return 0;
}

static int export(scmp_filter_ctx ctx, const struct newer *newer, struct seccomp_filter *out, struct err *err)
{
	autoclose fd = memfd_create("seccomp", MFD_CLOEXEC);
	if (fd < 0)
		return err_set(err, errno, "memfd_create: %s", strerror(errno));
	int r = seccomp_export_bpf(ctx, fd);
	if (r < 0)
		return err_set(err, -r, "export the seccomp filter: %s", strerror(-r));
	off_t size = lseek(fd, 0, SEEK_END);
	size_t insns = (size_t)size / sizeof(struct sock_filter), k = 0;
	struct sock_filter *f = calloc(insns + 2 * N_RECENT + 8, sizeof *f);
	if (f == NULL)
		return err_set(err, ENOMEM, "out of memory");
	size_t prefix = 0;
	for (size_t i = 0; i < N_RECENT; i++)
		prefix += newer->set[i] ? 2 : 0;
	/* Native calls above what libseccomp knows (and below x32's): by the list, else `otherwise`. */
	f[k++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
	f[k++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCH, 0, (uint8_t)(prefix + 4));
	f[k++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	f[k++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, (uint32_t)last_known(), 0, (uint8_t)(prefix + 2));
	f[k++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, (uint8_t)(prefix + 1), 0);
	for (size_t i = 0; i < N_RECENT; i++) {
		if (!newer->set[i])
			continue;
		f[k++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)RECENT[i].nr, 0, 1);
		f[k++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, newer->action[i]);
	}
	f[k++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, newer->otherwise);
	if (pread(fd, f + k, (size_t)size, 0) != size) {
		free(f);
		return err_set(err, errno, "read the seccomp filter: %s", strerror(errno));
	}
	if (k + insns > BPF_MAXINSNS) {
		free(f);
		return err_set(err, E2BIG, "the seccomp filter is too long");
	}
	out->insns = f;
	out->len = (uint16_t)(k + insns);
	return 0;
}

static void release(scmp_filter_ctx *ctx)
{
	if (*ctx != NULL)
		seccomp_release(*ctx);
}
#define autofilter __attribute__((cleanup(release))) scmp_filter_ctx

static int begin(scmp_filter_ctx ctx, struct err *err)
{
	if (ctx == NULL)
		return err_set(err, ENOMEM, "seccomp_init failed");
	seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0);
	seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	return 0;
}

/* Every name in a list separated by spaces. */
static int allow_names(scmp_filter_ctx ctx, struct newer *newer, const char *names, struct err *err)
{
	for (const char *at = names; *at != '\0';) {
		char name[64];
		size_t len = strcspn(at, " ");
		if (len < sizeof name) {
			memcpy(name, at, len);
			name[len] = '\0';
			if (add_rule(ctx, newer, SCMP_ACT_ALLOW, name, 0, NULL, err) < 0)
				return -1;
		}
		at += len;
		at += strspn(at, " ");
	}
	return 0;
}

static int default_rules(scmp_filter_ctx ctx, struct newer *newer, uint64_t caps, struct err *err)
{
#if defined(__x86_64__)
	seccomp_arch_add(ctx, SCMP_ARCH_X86);
	seccomp_arch_add(ctx, SCMP_ARCH_X32);
#elif defined(__aarch64__)
	seccomp_arch_add(ctx, SCMP_ARCH_ARM);
#endif
	for (unsigned i = 0; i < SECCOMP_DEFAULT_GROUP_COUNT; i++) {
		const struct seccomp_group *g = &SECCOMP_DEFAULT_GROUPS[i];
		if (g->cap == NULL || caps_has(caps, g->cap) != g->without)
			if (allow_names(ctx, newer, g->names, err) < 0)
				return -1;
	}
	static const uint64_t PERSONALITIES[] = { 0x0, 0x8, 0x20000, 0x20008, 0xffffffff };
	for (size_t i = 0; i < sizeof PERSONALITIES / sizeof *PERSONALITIES; i++) {
		struct scmp_arg_cmp arg = SCMP_A0_64(SCMP_CMP_EQ, PERSONALITIES[i]);
		if (add_rule(ctx, newer, SCMP_ACT_ALLOW, "personality", 1, &arg, err) < 0)
			return -1;
	}
	struct scmp_arg_cmp not_vsock = SCMP_A0_64(SCMP_CMP_NE, 40);
	if (add_rule(ctx, newer, SCMP_ACT_ALLOW, "socket", 1, &not_vsock, err) < 0)
		return -1;
	if (caps_has(caps, "CAP_SYS_ADMIN"))
		return 0;
	/* No new namespace of any kind; clone3's flags are out of a filter's reach, so libraries are told to use clone. */
	struct scmp_arg_cmp no_namespace = SCMP_A0_64(SCMP_CMP_MASKED_EQ, 0x7e020000, 0);
	return add_rule(ctx, newer, SCMP_ACT_ALLOW, "clone", 1, &no_namespace, err) < 0 ||
			       add_rule(ctx, newer, SCMP_ACT_ERRNO(ENOSYS), "clone3", 0, NULL, err) < 0
		       ? -1
		       : 0;
}

int seccomp_build_default(uint64_t caps, struct seccomp_filter *out, struct err *err)
{
	*out = (struct seccomp_filter){ 0 };
	struct newer newer = { .otherwise = SCMP_ACT_ERRNO(ENOSYS) }; /* so that libraries fall back */
	autofilter ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (begin(ctx, err) < 0 || default_rules(ctx, &newer, caps, err) < 0)
		return -1;
	return export(ctx, &newer, out, err);
}

int seccomp_build_custom(const struct seccomp_spec *spec, struct seccomp_filter *out, struct err *err)
{
	*out = (struct seccomp_filter){ 0 };
	bool open = spec->default_action == SCMP_ACT_ALLOW || spec->default_action == SCMP_ACT_LOG;
	struct newer newer = { .otherwise = open ? spec->default_action : SCMP_ACT_ERRNO(ENOSYS) };
	autofilter ctx = seccomp_init(spec->default_action);
	if (begin(ctx, err) < 0)
		return -1;
	for (uint32_t i = 0; i < spec->architectures.n; i++) {
		uint32_t arch = seccomp_arch_resolve_name(spec->architectures.v[i]);
		int r = arch == 0 ? -EINVAL : seccomp_arch_add(ctx, arch);
		if (r < 0 && r != -EEXIST)
			return err_set(err, -r, "seccomp architecture %s: %s", spec->architectures.v[i], strerror(-r));
	}
	for (uint32_t i = 0; i < spec->flags.n; i++) {
		if (strcmp(spec->flags.v[i], "SECCOMP_FILTER_FLAG_LOG") == 0)
			out->flags |= SECCOMP_FILTER_FLAG_LOG;
		else if (strcmp(spec->flags.v[i], "SECCOMP_FILTER_FLAG_SPEC_ALLOW") == 0)
			out->flags |= SECCOMP_FILTER_FLAG_SPEC_ALLOW;
		else if (strcmp(spec->flags.v[i], "SECCOMP_FILTER_FLAG_TSYNC") != 0)
			return err_set(err, EINVAL, "seccomp flag %s is not known", spec->flags.v[i]);
	}
	for (uint32_t i = 0; i < spec->n_rules; i++) {
		const struct seccomp_rule *rule = &spec->rules[i];
		struct scmp_arg_cmp args[6];
		for (uint32_t j = 0; j < rule->n_args; j++) {
			const struct seccomp_arg *a = &rule->args[j];
			if (a->index > 5 || a->op < SCMP_CMP_NE || a->op > SCMP_CMP_MASKED_EQ)
				return err_set(err, EINVAL, "seccomp rule for %s: invalid argument", rule->syscall);
			args[j] = (struct scmp_arg_cmp){ a->index, (enum scmp_compare)a->op, (uint64_t)a->value, (uint64_t)a->value_two };
		}
		if (add_rule(ctx, &newer, rule->action, rule->syscall, rule->n_args, args, err) < 0)
			return -1;
	}
	return export(ctx, &newer, out, err);
}

int seccomp_install(const struct seccomp_filter *filter, struct err *err)
{
	struct sock_fprog program = { .len = filter->len, .filter = filter->insns };
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, filter->flags, &program) < 0)
		return err_set(err, errno, "unable to set the seccomp filter: %s", strerror(errno));
	return 0;
}

static struct seccomp_filter prepared;
static uint64_t prepared_caps;

void seccomp_prepare(uint64_t caps)
{
	struct err err;
	if (seccomp_build_default(caps, &prepared, &err) < 0)
		prepared = (struct seccomp_filter){ 0 };
	prepared_caps = caps;
}

const struct seccomp_filter *seccomp_prepared(uint64_t caps)
{
	return prepared.insns != NULL && prepared_caps == caps ? &prepared : NULL;
}
