/* The default filter and one of the user's, installed in a child: what is let through and what each refusal says. */
#include "../src/seccomp.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "../src/caps.h"
#include "check.h"

/* errno of a call under the filter; 0 when it succeeds. */
static int under(const struct seccomp_filter *f, long nr, long a, long b, long c)
{
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		if (seccomp_install(f, NULL) < 0)
			_exit(255);
		long r = syscall(nr, a, b, c, 0, 0, 0);
		syscall(SYS_exit_group, r < 0 ? errno : 0);
	}
	int status;
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	EQ(WEXITSTATUS(status) == 255, 0);
	return WEXITSTATUS(status);
}

static void defaults(void)
{
	struct seccomp_filter f;
	OK(seccomp_build_default(0xa80425fb, &f, &err));
	EQ(under(&f, SYS_getpid, 0, 0, 0), 0);
	EQ(under(&f, SYS_unshare, CLONE_NEWNS, 0, 0), EPERM);
	EQ(under(&f, SYS_setns, -1, 0, 0), EPERM);
	EQ(under(&f, SYS_mount, 0, 0, 0), EPERM);
	EQ(under(&f, SYS_bpf, 0, 0, 0), EPERM);
	EQ(under(&f, SYS_keyctl, 0, 0, 0), EPERM);
	EQ(under(&f, SYS_clone, CLONE_NEWUSER, 0, 0), EPERM);
	EQ(under(&f, SYS_clone3, 0, 0, 0), ENOSYS);
	EQ(under(&f, SYS_io_uring_setup, 1, 0, 0), EPERM);
	EQ(under(&f, SYS_socket, AF_UNIX, SOCK_STREAM, 0), 0);
	EQ(under(&f, SYS_socket, AF_VSOCK, SOCK_STREAM, 0), EPERM);
	EQ(under(&f, SYS_personality, 0xffffffff, 0, 0), 0);
	EQ(under(&f, SYS_personality, 0x0400000, 0, 0), EPERM);
	/* Newer than libseccomp: allowed by number, or said not to be there. */
	int fchmodat2 = under(&f, 452, -1, (long)"", 0);
	CHECK(fchmodat2 != EPERM);
	EQ(under(&f, 600, 0, 0, 0), ENOSYS);
	free(f.insns);
	/* With CAP_SYS_ADMIN (bit 21). */
	OK(seccomp_build_default(1ull << 21, &f, &err));
	EQ(under(&f, SYS_setns, -1, 0, 0), EBADF);
	CHECK(under(&f, SYS_clone3, 0, 0, 0) != ENOSYS);
	free(f.insns);
}

static void custom(void)
{
	struct seccomp_filter f;
	struct seccomp_arg arg = { 0, SCMP_CMP_EQ, AF_INET, 0 };
	struct seccomp_rule rules[] = {
		{ "getpid", SCMP_ACT_ERRNO(77), 0, NULL }, { "socket", SCMP_ACT_ERRNO(66), 1, &arg }, { "no_such_call", SCMP_ACT_ALLOW, 0, NULL },
	};
	struct seccomp_spec s = { .mode = SECCOMP_CUSTOM, .default_action = SCMP_ACT_ALLOW, .n_rules = 3, .rules = rules };
	OK(seccomp_build_custom(&s, &f, &err));
	EQ(under(&f, SYS_getpid, 0, 0, 0), 77);
	EQ(under(&f, SYS_socket, AF_INET, SOCK_STREAM, 0), 66);
	EQ(under(&f, SYS_socket, AF_UNIX, SOCK_STREAM, 0), 0);
	CHECK(under(&f, 452, -1, (long)"", 0) != ENOSYS);
	free(f.insns);
	const char *unknown[] = { "SECCOMP_FILTER_FLAG_ODD", NULL }, *arch[] = { "pdp11", NULL };
	s.flags = (struct strs){ 1, unknown };
	FAILS(seccomp_build_custom(&s, &f, &err), "SECCOMP_FILTER_FLAG_ODD is not known");
	s.flags.n = 0;
	s.architectures = (struct strs){ 1, arch };
	FAILS(seccomp_build_custom(&s, &f, &err), "pdp11");
}

int main(void)
{
	uint64_t caps;
	struct strs names = { 3, (const char *[]){ "CAP_CHOWN", "kill", "SYS_ADMIN", NULL } };
	OK(caps_parse(&names, &caps, &err));
	EQ(caps, 1 | 1 << 5 | 1 << 21);
	FAILS(caps_parse(&(struct strs){ 1, (const char *[]){ "CAP_NONE", NULL } }, &caps, &err), "invalid capability: CAP_NONE");
	defaults();
	custom();
	return 0;
}
