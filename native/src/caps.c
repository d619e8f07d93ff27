#include "caps.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *const NAMES[] = {
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE",
	"NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT",
	"SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE",
	"AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ",
	"PERFMON", "BPF", "CHECKPOINT_RESTORE",
};
#define COUNT ((int)(sizeof NAMES / sizeof *NAMES))

static int number(const char *name)
{
	if (strncasecmp(name, "CAP_", 4) == 0)
		name += 4;
	for (int i = 0; i < COUNT; i++)
		if (strcasecmp(name, NAMES[i]) == 0)
			return i;
	return -1;
}

int caps_parse(const struct strs *names, uint64_t *out, struct err *err)
{
	*out = 0;
	for (uint32_t i = 0; i < names->n; i++) {
		if (strcasecmp(names->v[i], "ALL") == 0) {
			*out = (1ull << COUNT) - 1;
			continue;
		}
		int n = number(names->v[i]);
		if (n < 0)
			return err_set(err, 0, "invalid capability: %s", names->v[i]);
		*out |= 1ull << n;
	}
	return 0;
}

bool caps_has(uint64_t caps, const char *name)
{
	int n = number(name);
	return n >= 0 && (caps >> n & 1);
}

int caps_permitted(uint64_t *out, struct err *err)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };
	if (syscall(SYS_capget, &header, data) < 0)
		return err_set(err, errno, "capget: %s", strerror(errno));
	*out = data[0].permitted | (uint64_t)data[1].permitted << 32;
	return 0;
}

int caps_bound(uint64_t keep, struct err *err)
{
	for (int i = 0; i < 64; i++) {
		if (keep >> i & 1)
			continue;
		/* EINVAL: the kernel knows no further ones. */
		if (prctl(PR_CAPBSET_DROP, i, 0, 0, 0) < 0)
			return errno == EINVAL ? 0 : err_set(err, errno, "drop capability %d: %s", i, strerror(errno));
	}
	return 0;
}

int caps_set(uint64_t caps, struct err *err)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };
	for (int i = 0; i < 2; i++)
		data[i].effective = data[i].permitted = (uint32_t)(caps >> (32 * i));
	if (syscall(SYS_capset, &header, data) < 0)
		return err_set(err, errno, "unable to apply caps: capset: %s", strerror(errno));
	return 0;
}
