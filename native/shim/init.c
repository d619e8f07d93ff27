#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "monitor.h"

/* Ends with the status of the one child that matters; everything else that ends up here is only reaped. */
static void reap(pid_t child)
{
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != child)
			continue;
		if (WIFSIGNALED(status))
			_exit(128 + WTERMSIG(status));
		_exit(WEXITSTATUS(status));
	}
}

int init_fork(int sync, struct err *err)
{
	pid_t child = fork();
	if (child < 0)
		return err_set(err, errno, "fork: %s", strerror(errno));
	if (child == 0) {
		/* Its own process group, in front of the terminal if there is one. */
		setpgid(0, 0);
		if (isatty(0))
			tcsetpgrp(0, getpid());
		return 0;
	}
	close(sync);
	prctl(PR_SET_NAME, "gantry-init", 0, 0, 0);
	close_range(0, ~0u, 0);
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	for (;;) {
		siginfo_t info;
		int sig = sigwaitinfo(&all, &info);
		if (sig == SIGCHLD)
			reap(child);
		else if (sig > 0 && sig != SIGTTIN && sig != SIGTTOU && sig != SIGPIPE)
			kill(child, sig);
	}
}
