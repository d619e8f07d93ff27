/* Cgroups of both versions: what is written where, on a tree of plain files; and on the kernel's own where it can be had. */
#include "../src/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "check.h"

static const char *root;
static char warned[1024];
static void warn(void *ctx, const char *text)
{
	(void)ctx;
	size_t used = strlen(warned);
	snprintf(warned + used, sizeof warned - used, "%s\n", text);
}

static char *make(const char *path)
{
	static char full[8][4096];
	static int next;
	char command[4300], *out = full[next++ % 8];
	snprintf(out, 4096, "%s/%s", root, path);
	snprintf(command, sizeof command, "mkdir -p '%s'", out);
	CHECK(system(command) == 0);
	return out;
}

static struct maybe_i64 set(int64_t v) { return (struct maybe_i64){ true, v }; }

static void detect(void)
{
	struct cg_host host;
	char text[4096];
	cg_detect("25 1 0:22 / /sys/fs/cgroup rw shared:9 - tmpfs tmpfs rw\n"
		  "26 25 0:23 / /sys/fs/cgroup/cpu,cpuacct rw shared:10 - cgroup cgroup rw,cpu,cpuacct\n"
		  "27 25 0:24 / /sys/fs/cgroup/a\\040b rw - cgroup cgroup rw,memory\n"
		  "28 25 0:25 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n", &host);
	EQ(host.version, 1);
	STR(host.mounts[CG_CPU], "/sys/fs/cgroup/cpu,cpuacct"); STR(host.mounts[CG_CPUACCT], "/sys/fs/cgroup/cpu,cpuacct");
	STR(host.mounts[CG_MEMORY], "/sys/fs/cgroup/a b");
	CHECK(host.mounts[CG_PIDS] == NULL);
	cg_forget(&host);

	char *unified = make("detect");
	snprintf(text, sizeof text, "28 25 0:25 / %s rw - cgroup2 cgroup2 rw\n", unified);
	put_file(unified, "cgroup.controllers", "hugetlb misc\n");
	cg_detect(text, &host);
	EQ(host.version, 0);
	put_file(unified, "cgroup.controllers", "cpuset cpu io memory pids\n");
	cg_detect(text, &host);
	EQ(host.version, 2);
	STR(host.mounts[CG_MEMORY], unified); STR(host.mounts[CG_FREEZER], unified); STR(host.mounts[CG_BLKIO], unified);
	cg_forget(&host);
	cg_detect("garbage\n\n1 2 3\n", &host);
	EQ(host.version, 0);
}

static void version1(void)
{
	static const char *const NAMES[CG_COUNT] = { "memory", "cpu", "cpuacct", "pids", "cpuset", "freezer", "devices", "blkio" };
	struct cg_host host = { .version = 1 };
	struct cg g;
	char path[64];
	for (int c = 0; c < CG_COUNT; c++) {
		snprintf(path, sizeof path, "v1/%s", NAMES[c]);
		host.mounts[c] = strdup(make(path));
		snprintf(path, sizeof path, "v1/%s/p/c", NAMES[c]);
		char *dir = make(path);
		put_file(dir, "tasks", "");
		put_file(dir, "cgroup.procs", "");
	}
	char *memory = make("v1/memory/p/c"), *devices = make("v1/devices/p/c"), *cpu = make("v1/cpu/p/c");
	char *cpuset = make("v1/cpuset/p/c"), *top = make("v1/cpuset"), *middle = make("v1/cpuset/p");
	const char *files[] = { "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.soft_limit_in_bytes" };
	for (size_t i = 0; i < 3; i++)
		put_file(memory, files[i], "");
	put_file(make("v1/pids/p/c"), "pids.max", "");
	put_file(cpu, "cpu.shares", ""); put_file(cpu, "cpu.cfs_quota_us", ""); put_file(cpu, "cpu.cfs_period_us", "");
	put_file(devices, "devices.deny", ""); put_file(devices, "devices.allow", "");
	put_file(top, "cpuset.cpus", "0-3\n"); put_file(top, "cpuset.mems", "0\n");
	put_file(middle, "cpuset.cpus", "\n"); put_file(middle, "cpuset.mems", "\n");
	put_file(cpuset, "cpuset.cpus", "\n"); put_file(cpuset, "cpuset.mems", "\n");

	const char *rules[] = { "c *:* m", "c 1:3 rwm", NULL };
	struct cgroup s = {
		.path = "p/c", .memory = set(64), .memory_swap = set(128), .memory_reservation = set(32), .pids = set(7), .cpu_shares = set(512),
		.cpu_quota = set(50000), .cpu_period = set(100000), .cpuset_cpus = "1", .blkio_weight = set(300), .device_rules = { 2, rules },
	};
	OK(cg_create(&g, &host, &s, &err));
	EQ(g.used, (1u << CG_COUNT) - 1);
	/* A new cpuset takes over what its parents have. */
	STR(get_file(middle, "cpuset.cpus"), "0-3\n"); STR(get_file(cpuset, "cpuset.mems"), "0\n");
	OK(cg_apply(&g, &s, true, warn, NULL, &err));
	STR(get_file(memory, "memory.limit_in_bytes"), "64"); STR(get_file(memory, "memory.memsw.limit_in_bytes"), "128");
	STR(get_file(memory, "memory.soft_limit_in_bytes"), "32"); STR(get_file(make("v1/pids/p/c"), "pids.max"), "7");
	STR(get_file(cpu, "cpu.shares"), "512"); STR(get_file(cpu, "cpu.cfs_quota_us"), "50000");
	CHECK(strncmp(get_file(cpuset, "cpuset.cpus"), "1", 1) == 0);
	STR(get_file(devices, "devices.deny"), "a"); STR(get_file(devices, "devices.allow"), "c *:* mc 1:3 rwm");
	CHECK(strstr(warned, "Block I/O weight") != NULL);
	OK(cg_join_self(&g, &err));
	STR(get_file(memory, "tasks"), "0");

	/* Without swap accounting there is a warning, and the memory limit holds. */
	remove_dir(make("v1/memory/p/c"));
	memory = make("v1/memory/p/c");
	put_file(memory, "memory.limit_in_bytes", ""); put_file(memory, "memory.soft_limit_in_bytes", "");
	OK(cg_apply(&g, &s, false, warn, NULL, &err));
	CHECK(strstr(warned, "swap limit") != NULL);
	put_file(memory, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n");
	CHECK(!cg_oom_killed(&g));
	put_file(memory, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
	CHECK(cg_oom_killed(&g));
	put_file(memory, "cgroup.procs", "12\n345\n");
	char *sub = make("v1/memory/p/c/sub");
	put_file(sub, "cgroup.procs", "6789\n");
	pid_t *pids;
	EQ(cg_pids(&g, &pids, NULL), 3);
	EQ(pids[1], 345); EQ(pids[2], 6789);
	free(pids);
	cg_close(&g);
	cg_forget(&host);
}

static void version2(void)
{
	struct cg_host host = { .version = 2 };
	struct cg g;
	char *top = make("v2"), *middle, *leaf;
	for (int c = 0; c < CG_COUNT; c++)
		host.mounts[c] = top;
	put_file(top, "cgroup.subtree_control", "");
	middle = make("v2/p");
	put_file(middle, "cgroup.subtree_control", "");
	leaf = make("v2/p/c");
	put_file(leaf, "cgroup.procs", "");
	struct cgroup s = {
		.path = "p/c", .memory = set(1 << 20), .memory_swap = set(3 << 20), .memory_reservation = set(4096), .pids = set(0),
		.cpu_shares = set(1024), .cpu_quota = set(25000), .cpuset_cpus = "0-1", .blkio_weight = set(500),
	};
	/* Its leaf offers nothing yet: controllers are handed down from the top. A plain file keeps
	   the last word over those before: +memory, +pids, +cpu, +cpuset, +io. */
	OK(cg_create(&g, &host, &s, &err));
	STR(get_file(top, "cgroup.subtree_control"), "+iouset"); STR(get_file(middle, "cgroup.subtree_control"), "+iouset");
	const char *files[] = { "memory.max", "memory.swap.max", "memory.low", "pids.max", "cpu.weight", "cpu.max", "cpuset.cpus", "io.weight" };
	for (size_t i = 0; i < sizeof files / sizeof *files; i++)
		put_file(leaf, files[i], "");
	OK(cg_apply(&g, &s, true, warn, NULL, &err));
	STR(get_file(leaf, "memory.max"), "1048576"); STR(get_file(leaf, "memory.swap.max"), "2097152"); STR(get_file(leaf, "memory.low"), "4096");
	STR(get_file(leaf, "pids.max"), "max"); STR(get_file(leaf, "cpu.weight"), "39"); STR(get_file(leaf, "cpu.max"), "25000 100000");
	STR(get_file(leaf, "cpuset.cpus"), "0-1"); STR(get_file(leaf, "io.weight"), "4950");
	put_file(leaf, "memory.events", "low 0\noom 1\noom_kill 1\noom_group_kill 0\n");
	CHECK(cg_oom_killed(&g));
	put_file(leaf, "memory.events", "low 0\noom 1\noom_kill 0\n");
	CHECK(!cg_oom_killed(&g));
	cg_close(&g);
	EQ(cg2_cpu_weight(2), 1); EQ(cg2_cpu_weight(262144), 10000); EQ(cg2_io_weight(10), 1); EQ(cg2_io_weight(1000), 10000);
}

/* Runs a device program as far as it needs: 32-bit loads from the context, moves, and, shift, jumps. */
static bool allowed(const struct bpf_insn *p, int n, uint32_t type, uint32_t access, uint32_t major, uint32_t minor)
{
	uint32_t ctx[3] = { access << 16 | type, major, minor };
	uint64_t r[11] = { 0 };
	for (int at = 0; at < n; at++) {
		const struct bpf_insn *i = &p[at];
		switch (i->code) {
		case BPF_LDX | BPF_MEM | BPF_W: r[i->dst_reg] = ctx[i->off / 4]; break;
		case BPF_ALU | BPF_AND | BPF_K: r[i->dst_reg] = (uint32_t)r[i->dst_reg] & (uint32_t)i->imm; break;
		case BPF_ALU | BPF_RSH | BPF_K: r[i->dst_reg] = (uint32_t)r[i->dst_reg] >> i->imm; break;
		case BPF_ALU | BPF_MOV | BPF_X: r[i->dst_reg] = (uint32_t)r[i->src_reg]; break;
		case BPF_ALU64 | BPF_MOV | BPF_K: r[i->dst_reg] = (uint64_t)(int64_t)i->imm; break;
		case BPF_JMP | BPF_JNE | BPF_K: if (r[i->dst_reg] != (uint64_t)(int64_t)i->imm) at += i->off; break;
		case BPF_JMP32 | BPF_JNE | BPF_K: if ((uint32_t)r[i->dst_reg] != (uint32_t)i->imm) at += i->off; break;
		case BPF_JMP | BPF_EXIT: return r[0] != 0;
		default: CHECK(!"an instruction that is known");
		}
	}
	CHECK(!"an end");
	return false;
}

static void device_rules(void)
{
	struct device_rule rules[4];
	struct bpf_insn p[256];
	OK(device_rule_parse("c *:* m", &rules[0], &err));
	OK(device_rule_parse("c 1:3 rw", &rules[1], &err));
	OK(device_rule_parse("b 4294967295:7 r", &rules[2], &err));
	int n = bpf_device_program(rules, 3, p, 256);
	CHECK(n > 0);
	enum { MKNOD = 1, READ = 2, WRITE = 4, BLOCK = 1, CHAR = 2 };
	CHECK(allowed(p, n, CHAR, MKNOD, 9, 9) && !allowed(p, n, BLOCK, MKNOD, 9, 9));
	CHECK(allowed(p, n, CHAR, READ, 1, 3) && allowed(p, n, CHAR, READ | WRITE, 1, 3) && !allowed(p, n, CHAR, READ, 1, 4));
	CHECK(!allowed(p, n, CHAR, READ | MKNOD, 1, 3)); /* no single rule gives both */
	CHECK(allowed(p, n, BLOCK, READ, 4294967295u, 7) && !allowed(p, n, BLOCK, WRITE, 4294967295u, 7));
	OK(device_rule_parse("a *:* rwm", &rules[3], &err));
	n = bpf_device_program(rules, 4, p, 256);
	CHECK(allowed(p, n, BLOCK, READ | WRITE | MKNOD, 8, 0));
	EQ(bpf_device_program(rules, 4, p, 20), -1);
	const char *bad[] = { "", "x 1:2 r", "c 1 r", "c 1:2", "c 1:2 ", "c 1:2 x", "c -1:2 r", "c 1:4294967296 r", "c1:2 r" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		FAILS(device_rule_parse(bad[i], &rules[0], &err), "invalid device cgroup rule");
}

/* On a real cgroup2 mount, of which only what every one has is used: joining, freezing, killing, the device program. */
static void real_version2(const char *mnt)
{
	struct cg_host host = { .version = 2, .mounts = { [CG_FREEZER] = mnt, [CG_DEVICES] = mnt } };
	struct cg g;
	char path[64];
	snprintf(path, sizeof path, "gantry-test-%d/c", getpid());
	const char *rules[] = { "c 1:3 rw", NULL };
	struct cgroup s = { .path = path, .device_rules = { 1, rules } };
	OK(cg_create(&g, &host, &s, &err));
	OK(cg_apply(&g, &s, true, NULL, NULL, &err));
	struct clone_args args = { .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)g.join[0] };
	int ends[2];
	CHECK(pipe(ends) == 0);
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
	CHECK(pid >= 0);
	if (pid == 0) {
		char result = open("/dev/null", O_RDWR) >= 0 && open("/dev/zero", O_RDONLY) < 0 && errno == EPERM ? 'y' : 'n';
		if (write(ends[1], &result, 1) != 1)
			_exit(1);
		pause();
	}
	char result;
	EQ(read(ends[0], &result, 1), 1);
	EQ(result, 'y');
	OK(cg_freeze(&g, true, &err));
	OK(cg_freeze(&g, false, &err));
	pid_t *pids;
	EQ(cg_pids(&g, &pids, NULL), 1);
	EQ(pids[0], pid);
	free(pids);
	OK(cg_kill(&g, &err));
	EQ(waitpid(pid, NULL, 0), pid);
	OK(cg_remove(&g, &err));
	*strchr(path, '/') = '\0';
	char parent[300];
	snprintf(parent, sizeof parent, "%s/%s", mnt, path);
	EQ(rmdir(parent), 0);
}

int main(void)
{
	static char copy[64];
	snprintf(copy, sizeof copy, "%s", temp_dir());
	root = copy;
	detect();
	version1();
	version2();
	device_rules();
	static const char *const UNIFIED[] = { "/sys/fs/cgroup/unified", "/sys/fs/cgroup" };
	for (size_t i = 0; i < 2; i++) {
		char procs[64];
		snprintf(procs, sizeof procs, "%s/cgroup.subtree_control", UNIFIED[i]);
		if (getuid() == 0 && access(procs, W_OK) == 0) {
			real_version2(UNIFIED[i]);
			break;
		}
	}
	remove_dir(root);
	return 0;
}
