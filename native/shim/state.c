#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "../src/io.h"
#include "../src/netlink.h"

int state_lock(int dir, int ms, struct err *err)
{
	autoclose fd = openat(dir, "monitor", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(err, errno, "open monitor: %s", strerror(errno));
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return err_set(err, errno, "lock monitor: %s", strerror(errno));
		/* A monitor that has written how its container ended only cleans up. */
		if (ms <= 0 || faccessat(dir, "exit", F_OK, 0) < 0)
			return err_set(err, EAGAIN, "the container is running already");
		nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
		ms -= 2;
	}
	int keep = fd;
	fd = -1;
	return keep;
}

int state_write(int fd, const struct spec *s, pid_t monitor, pid_t init, int64_t started_at, struct err *err)
{
	char text[4096];
	size_t n = (size_t)snprintf(text, sizeof text, "1 %d %d %lld\n%s\n%s\n", monitor, init, (long long)started_at, s->id, s->cgroup.path);
	for (uint32_t i = 0; i < s->n_networks && n < sizeof text; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", i > 0 ? " " : "", s->networks[i].host_name);
	if (n + 1 >= sizeof text)
		return err_set(err, E2BIG, "too many interfaces");
	text[n++] = '\n';
	if (pwrite(fd, text, n, 0) != (ssize_t)n || ftruncate(fd, (off_t)n) < 0)
		return err_set(err, errno, "write monitor: %s", strerror(errno));
	return 0;
}

static const char *line(char **at)
{
	char *start = *at, *end = strchr(start, '\n');
	if (end == NULL)
		return NULL;
	*end = '\0';
	*at = end + 1;
	return start;
}

int state_parse(char *text, struct state *out, struct err *err)
{
	*out = (struct state){ 0 };
	long long started_at;
	const char *first = line(&text), *id = first == NULL ? NULL : line(&text), *cgroup = id == NULL ? NULL : line(&text);
	const char *interfaces = cgroup == NULL ? NULL : line(&text);
	if (interfaces == NULL || sscanf(first, "1 %d %d %lld", &out->monitor, &out->init, &started_at) != 3 ||
	    strlen(id) >= sizeof out->id || strlen(cgroup) >= sizeof out->cgroup || strlen(interfaces) >= sizeof out->interfaces ||
	    !spec_is_relative_path(cgroup))
		return err_set(err, EINVAL, "the monitor file is damaged");
	out->started_at = started_at;
	strcpy(out->id, id);
	strcpy(out->cgroup, cgroup);
	strcpy(out->interfaces, interfaces);
	return 0;
}

int state_reap(const char *dir, const struct cg_host *host, int64_t at, struct state *out, struct err *err)
{
	char text[4096];
	autoclose d = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d < 0 || faccessat(d, "monitor", F_OK, 0) < 0)
		return err_set(err, errno, "%s: %s", dir, strerror(errno));
	autoclose lock = state_lock(d, 0, err);
	if (lock < 0)
		return -1;
	ssize_t n = io_read_file_at(d, "monitor", text, sizeof text, err);
	if (n <= 0)
		return n < 0 ? -1 : err_set(err, ENOENT, "there is no container");
	if (state_parse(text, out, err) < 0)
		return -1;
	struct cg cg;
	cg_existing(&cg, host, out->cgroup);
	if (cg_kill(&cg, err) < 0 || cg_remove(&cg, err) < 0)
		return -1;
	char *save = NULL;
	autoclose nl = out->interfaces[0] != '\0' ? nl_open(NULL) : -1;
	for (char *name = strtok_r(out->interfaces, " ", &save); nl >= 0 && name != NULL; name = strtok_r(NULL, " ", &save))
		nl_link_delete(nl, name, NULL);
	unlinkat(d, "shim.sock", 0);
	if (out->started_at == 0)
		return ftruncate(lock, 0) < 0 ? err_set(err, errno, "truncate monitor: %s", strerror(errno)) : 0;
	int len = snprintf(text, sizeof text, "1 137 0 %lld\n%s\n", (long long)at, STATE_KILLED);
	return io_replace_file_at(d, "exit", text, (size_t)len, err);
}
