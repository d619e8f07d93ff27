#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "monitor.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

/*
 * Runs from a sealed copy in memory: a container that gets hold of /proc/PID/exe of a process that enters it cannot change the
 * program on the host through it.
 */
static void run_sealed(char **argv)
{
	autoclose self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct stat st;
	if (self < 0 || fstat(self, &st) < 0 || fcntl(self, F_GET_SEALS) > 0)
		return;
	int copy = memfd_create("gantry-shim", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
	if (copy < 0)
		copy = memfd_create("gantry-shim", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (copy < 0)
		return;
	for (off_t at = 0; at < st.st_size;)
		if (sendfile(copy, self, &at, (size_t)(st.st_size - at)) <= 0)
			return;
	if (fcntl(copy, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return;
	extern char **environ;
	fexecve(copy, argv, environ);
}

int main(int argc, char **argv)
{
	if (argc >= 2 && strcmp(argv[1], "spawner") == 0) {
		run_sealed(argv);
		return spawner_main(argc - 2, argv + 2);
	}
	fprintf(stderr, "usage: gantry-shim spawner --socket PATH\n");
	return 2;
}
