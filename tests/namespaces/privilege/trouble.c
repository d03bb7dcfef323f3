/* Makes a program that has been confined panic: every socket is said to have an address of no family that it knows. With ABORT in
   the environment, makes it abort instead. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>

int getsockname(int fd, struct sockaddr *restrict address, socklen_t *restrict length)
{
	int (*original)(int, struct sockaddr *restrict, socklen_t *restrict);
	*(void **)&original = dlsym(RTLD_NEXT, "getsockname");
	int result = original(fd, address, length);
	/* The filter refuses to be asked for. */
	if (result == 0 && prctl(PR_GET_SECCOMP) == -1) {
		if (getenv("ABORT") != NULL)
			abort();
		address->sa_family = AF_UNIX;
	}
	return result;
}
