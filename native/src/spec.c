#include "spec.h"

#include <string.h>

#include "io.h"

static const char *maybe_str(struct rd *r) { return rd_bool(r) ? rd_str(r) : NULL; }

static struct maybe_i64 maybe_i64(struct rd *r)
{
	struct maybe_i64 m = { .set = rd_bool(r) };
	if (m.set)
		m.v = rd_i64(r);
	return m;
}

static struct rootfs rd_rootfs(struct rd *r)
{
	struct rootfs f;
	f.base = rd_str(r);
	f.lowers = rd_strs(r);
	f.upper = maybe_str(r);
	f.work = maybe_str(r);
	f.is_volatile = rd_bool(r);
	return f;
}

static void rd_mounts(struct rd *r, struct spec *s)
{
	void *v;
	s->n_mounts = rd_array(r, 19, sizeof *s->mounts, &v);
	s->mounts = v;
	for (uint32_t i = 0; i < s->n_mounts; i++) {
		struct mount *m = &s->mounts[i];
		m->destination = rd_str(r);
		m->type = rd_str(r);
		m->source = rd_str(r);
		m->options = rd_strs(r);
	}
}

static struct namespaces rd_namespaces(struct rd *r)
{
	struct namespaces n;
	n.mount = rd_str(r);
	n.pid = rd_str(r);
	n.network = rd_str(r);
	n.ipc = rd_str(r);
	n.uts = rd_str(r);
	n.cgroup = rd_str(r);
	n.user = rd_str(r);
	return n;
}

static uint32_t rd_mappings(struct rd *r, struct id_mapping **out)
{
	void *v;
	uint32_t n = rd_array(r, 12, sizeof **out, &v);
	*out = v;
	for (uint32_t i = 0; i < n; i++) {
		(*out)[i].container_id = rd_u32(r);
		(*out)[i].host_id = rd_u32(r);
		(*out)[i].size = rd_u32(r);
	}
	return n;
}

static void rd_networks(struct rd *r, struct spec *s)
{
	void *v;
	s->n_networks = rd_array(r, 30, sizeof *s->networks, &v);
	s->networks = v;
	for (uint32_t i = 0; i < s->n_networks; i++) {
		struct interface *n = &s->networks[i];
		n->bridge = rd_str(r);
		n->host_name = rd_str(r);
		n->name = rd_str(r);
		n->mac = rd_str(r);
		n->addresses = rd_strs(r);
		n->gateway = maybe_str(r);
		n->gateway6 = maybe_str(r);
		n->mtu = rd_u32(r);
	}
}

static void rd_seccomp(struct rd *r, struct seccomp_spec *s)
{
	void *v;
	s->mode = rd_u8(r);
	if (s->mode > SECCOMP_CUSTOM)
		r->bad = true;
	if (s->mode != SECCOMP_CUSTOM)
		return;
	s->default_action = rd_u32(r);
	s->architectures = rd_strs(r);
	s->flags = rd_strs(r);
	s->n_rules = rd_array(r, 13, sizeof *s->rules, &v);
	s->rules = v;
	for (uint32_t i = 0; i < s->n_rules; i++) {
		struct seccomp_rule *rule = &s->rules[i];
		rule->syscall = rd_str(r);
		rule->action = rd_u32(r);
		rule->n_args = rd_array(r, 24, sizeof *rule->args, &v);
		rule->args = v;
		if (rule->n_args > 6)
			r->bad = true;
		for (uint32_t j = 0; j < rule->n_args; j++) {
			rule->args[j].index = rd_u32(r);
			rule->args[j].op = rd_u32(r);
			rule->args[j].value = rd_i64(r);
			rule->args[j].value_two = rd_i64(r);
		}
	}
}

static void rd_rlimits(struct rd *r, struct spec *s)
{
	void *v;
	s->n_rlimits = rd_array(r, 21, sizeof *s->rlimits, &v);
	s->rlimits = v;
	for (uint32_t i = 0; i < s->n_rlimits; i++) {
		s->rlimits[i].type = rd_str(r);
		s->rlimits[i].soft = rd_i64(r);
		s->rlimits[i].hard = rd_i64(r);
	}
}

static void rd_sysctls(struct rd *r, struct spec *s)
{
	void *v;
	s->n_sysctls = rd_array(r, 10, sizeof *s->sysctls, &v);
	s->sysctls = v;
	for (uint32_t i = 0; i < s->n_sysctls; i++) {
		s->sysctls[i].name = rd_str(r);
		s->sysctls[i].value = rd_str(r);
	}
}

static void rd_devices(struct rd *r, struct spec *s)
{
	void *v;
	s->n_devices = rd_array(r, 35, sizeof *s->devices, &v);
	s->devices = v;
	for (uint32_t i = 0; i < s->n_devices; i++) {
		struct device *d = &s->devices[i];
		d->path = rd_str(r);
		d->type = rd_str(r);
		d->major = rd_u32(r);
		d->minor = rd_u32(r);
		d->mode = rd_u32(r);
		d->uid = rd_u32(r);
		d->gid = rd_u32(r);
		d->access = rd_str(r);
	}
}

static void rd_cgroup(struct rd *r, struct cgroup *c)
{
	c->path = rd_str(r);
	c->memory = maybe_i64(r);
	c->memory_swap = maybe_i64(r);
	c->memory_reservation = maybe_i64(r);
	c->pids = maybe_i64(r);
	c->cpu_shares = maybe_i64(r);
	c->cpu_quota = maybe_i64(r);
	c->cpu_period = maybe_i64(r);
	c->cpuset_cpus = maybe_str(r);
	c->cpuset_mems = maybe_str(r);
	c->blkio_weight = maybe_i64(r);
	c->oom_kill_disable = rd_bool(r);
	c->device_rules = rd_strs(r);
}

bool spec_is_relative_path(const char *path)
{
	for (const char *at = path;;) {
		const char *slash = strchrnul(at, '/');
		size_t len = (size_t)(slash - at);
		if (len == 0 || (len == 1 && at[0] == '.') || (len == 2 && at[0] == '.' && at[1] == '.'))
			return false;
		if (*slash == '\0')
			return true;
		at = slash + 1;
	}
}

static int malformed(struct err *err) { return err_set(err, 0, "malformed message"); }

static int check_cgroup(const struct cgroup *c, struct err *err)
{
	if (!spec_is_relative_path(c->path))
		return err_set(err, 0, "invalid cgroup path \"%s\"", c->path);
	return 0;
}

int spec_decode_cgroup(struct rd *r, struct cgroup *c, struct err *err)
{
	rd_cgroup(r, c);
	return r->bad ? malformed(err) : check_cgroup(c, err);
}

static int check_absolute(const char *what, const char *path, struct err *err)
{
	return path[0] == '/' ? 0 : err_set(err, 0, "%s \"%s\" is not an absolute path", what, path);
}

static int check(const struct spec *s, struct err *err)
{
	if (s->id[0] == '\0' || strlen(s->id) > 128)
		return err_set(err, 0, "invalid container ID \"%s\"", s->id);
	if (s->args.n == 0)
		return err_set(err, 0, "No command specified");
	if (check_absolute("container directory", s->dir, err) < 0 || check_absolute("working directory", s->cwd, err) < 0 ||
	    check_absolute("root file system", s->rootfs.base, err) < 0)
		return -1;
	if (s->rootfs.lowers.n == 0 && s->rootfs.upper == NULL)
		return err_set(err, 0, "the root file system has no layers");
	if ((s->rootfs.upper == NULL) != (s->rootfs.work == NULL))
		return err_set(err, 0, "upper and work directories go together");
	for (uint32_t i = 0; i < s->n_mounts; i++)
		if (check_absolute("mount destination", s->mounts[i].destination, err) < 0)
			return -1;
	for (uint32_t i = 0; i < s->n_devices; i++)
		if (check_absolute("device", s->devices[i].path, err) < 0)
			return -1;
	if (strcmp(s->namespaces.mount, "new") != 0)
		return err_set(err, 0, "a container has a mount namespace of its own");
	if (strcmp(s->namespaces.user, "new") == 0 && (s->n_uid_mappings == 0 || s->n_gid_mappings == 0))
		return err_set(err, 0, "a user namespace needs ID mappings");
	return check_cgroup(&s->cgroup, err);
}

int spec_decode(struct rd *r, struct spec *s, struct err *err)
{
	memset(s, 0, sizeof *s);
	s->id = rd_str(r);
	s->dir = rd_str(r);
	s->args = rd_strs(r);
	s->env = rd_strs(r);
	s->cwd = rd_str(r);
	s->user = rd_str(r);
	s->additional_groups = rd_strs(r);
	s->hostname = rd_str(r);
	s->domainname = rd_str(r);
	s->terminal = rd_bool(r);
	s->open_stdin = rd_bool(r);
	s->stdin_once = rd_bool(r);
	s->console_height = rd_u32(r);
	s->console_width = rd_u32(r);
	s->rootfs = rd_rootfs(r);
	s->readonly_rootfs = rd_bool(r);
	rd_mounts(r, s);
	s->namespaces = rd_namespaces(r);
	s->n_uid_mappings = rd_mappings(r, &s->uid_mappings);
	s->n_gid_mappings = rd_mappings(r, &s->gid_mappings);
	rd_networks(r, s);
	s->dns = rd_bool(r);
	s->capabilities = rd_strs(r);
	rd_seccomp(r, &s->seccomp);
	s->no_new_privileges = rd_bool(r);
	rd_rlimits(r, s);
	rd_sysctls(r, s);
	rd_devices(r, s);
	s->masked_paths = rd_strs(r);
	s->readonly_paths = rd_strs(r);
	s->privileged = rd_bool(r);
	s->init = rd_bool(r);
	rd_cgroup(r, &s->cgroup);
	s->oom_score_adj = maybe_i64(r);
	s->umask = maybe_i64(r);
	s->stop_signal = rd_str(r);
	s->log = rd_bool(r);
	if (s->log) {
		s->log_bound.max_bytes = rd_i64(r);
		s->log_bound.max_files = rd_u32(r);
		if (s->log_bound.max_bytes < 0 || s->log_bound.max_files < 1)
			return malformed(err);
	}
	if (r->bad || r->at != r->end)
		return malformed(err);
	return check(s, err);
}

int spec_decode_exec(struct rd *r, struct exec_spec *s, struct err *err)
{
	memset(s, 0, sizeof *s);
	s->id = rd_str(r);
	s->args = rd_strs(r);
	s->env = rd_strs(r);
	s->cwd = rd_str(r);
	s->user = rd_str(r);
	s->additional_groups = rd_strs(r);
	s->terminal = rd_bool(r);
	s->console_height = rd_u32(r);
	s->console_width = rd_u32(r);
	s->want_stdin = rd_bool(r);
	s->want_stdout = rd_bool(r);
	s->want_stderr = rd_bool(r);
	s->privileged = rd_bool(r);
	s->capabilities = rd_strs(r);
	s->no_new_privileges = rd_bool(r);
	if (r->bad || r->at != r->end)
		return malformed(err);
	if (s->args.n == 0)
		return err_set(err, 0, "No exec command specified");
	if (s->id[0] == '\0' || strlen(s->id) > 128)
		return err_set(err, 0, "invalid exec ID \"%s\"", s->id);
	return s->cwd[0] == '\0' ? 0 : check_absolute("working directory", s->cwd, err);
}
