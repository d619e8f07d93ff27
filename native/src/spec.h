#ifndef GANTRY_SPEC_H
#define GANTRY_SPEC_H

#include "err.h"
#include "wire.h"

/*
 * ContainerSpec and ExecSpec of libs/runtime/src/port.ts: the same fields in the same order, written by
 * libs/runtime/src/spec-wire.ts and read by spec.c. What each means is documented there. Strings point into the message.
 */
struct maybe_i64 { bool set; int64_t v; };

struct rootfs { const char *base; struct strs lowers; const char *upper, *work; /* NULL: none */ bool is_volatile; };
struct mount { const char *destination, *type, *source; struct strs options; };
struct namespaces { const char *mount, *pid, *network, *ipc, *uts, *cgroup, *user; };
struct id_mapping { uint32_t container_id, host_id, size; };
struct interface {
	const char *bridge, *host_name, *name, *mac;
	struct strs addresses;
	const char *gateway, *gateway6; /* NULL: none */
	uint32_t mtu;
};
struct rlimit_spec { const char *type; int64_t soft, hard; };
struct sysctl { const char *name, *value; };
struct device {
	const char *path, *type;
	uint32_t major, minor, mode, uid, gid;
	const char *access;
};

struct cgroup {
	const char *path;
	struct maybe_i64 memory, memory_swap, memory_reservation, pids, cpu_shares, cpu_quota, cpu_period;
	const char *cpuset_cpus, *cpuset_mems; /* NULL: none */
	struct maybe_i64 blkio_weight;
	bool oom_kill_disable;
	struct strs device_rules;
};

/* A seccomp filter as flat as libseccomp takes it; conditions on capabilities and kernels are resolved by the sender. */
enum seccomp_mode { SECCOMP_UNCONFINED = 0, SECCOMP_DEFAULT = 1, SECCOMP_CUSTOM = 2 };
struct seccomp_arg { uint32_t index, op; int64_t value, value_two; };
struct seccomp_rule {
	const char *syscall;
	uint32_t action; /* SCMP_ACT_… */
	uint32_t n_args;
	struct seccomp_arg *args;
};
struct seccomp_spec {
	uint8_t mode;
	uint32_t default_action;
	struct strs architectures; /* names for seccomp_arch_resolve_name */
	struct strs flags;
	uint32_t n_rules;
	struct seccomp_rule *rules;
};

struct log_bound {
	int64_t max_bytes; /* of one file; 0: no bound */
	uint32_t max_files; /* 1 or more */
};

struct spec {
	const char *id, *dir;
	struct strs args, env;
	const char *cwd, *user;
	struct strs additional_groups;
	const char *hostname, *domainname;
	bool terminal, open_stdin, stdin_once;
	uint32_t console_height, console_width;
	struct rootfs rootfs;
	bool readonly_rootfs;
	uint32_t n_mounts; struct mount *mounts;
	struct namespaces namespaces;
	uint32_t n_uid_mappings; struct id_mapping *uid_mappings;
	uint32_t n_gid_mappings; struct id_mapping *gid_mappings;
	uint32_t n_networks; struct interface *networks;
	bool dns;
	struct strs capabilities;
	struct seccomp_spec seccomp;
	bool no_new_privileges;
	uint32_t n_rlimits; struct rlimit_spec *rlimits;
	uint32_t n_sysctls; struct sysctl *sysctls;
	uint32_t n_devices; struct device *devices;
	struct strs masked_paths, readonly_paths;
	bool privileged, init;
	struct cgroup cgroup;
	struct maybe_i64 oom_score_adj, umask;
	const char *stop_signal;
	bool log;
	struct log_bound log_bound;
};

struct exec_spec {
	const char *id;
	struct strs args, env;
	const char *cwd, *user;
	struct strs additional_groups;
	bool terminal;
	uint32_t console_height, console_width;
	bool want_stdin, want_stdout, want_stderr;
	bool privileged;
	struct strs capabilities;
	bool no_new_privileges;
};

/* Each consumes its part of the message; -1 with a reason when it is malformed or says what cannot be. */
int spec_decode(struct rd *r, struct spec *s, struct err *err);
int spec_decode_exec(struct rd *r, struct exec_spec *s, struct err *err);
int spec_decode_cgroup(struct rd *r, struct cgroup *c, struct err *err);

/* A relative path of ordinary components: no "..", no "." and none empty. */
bool spec_is_relative_path(const char *path);

#endif
