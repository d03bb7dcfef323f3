/* Makes a confined program panic: every socket has an address of an unknown family, and every message is longer than the
   space for it. With ABORT in the environment, makes it abort instead; with OVERFLOW, makes its stack overflow. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>

/* Its frames are smaller than a page, so the first address beyond the stack is next to it. */
static int recurse(int more)
{
	volatile char frame[512] = { 0 };
	return more ? recurse(more) + frame[0] : 0;
}

static int is_confined(void)
{
	/* A call that the filter refuses. */
	if (prctl(PR_GET_SECCOMP) != -1)
		return 0;
	if (getenv("ABORT") != NULL)
		abort();
	if (getenv("OVERFLOW") != NULL)
		return recurse(1);
	return 1;
}

int getsockname(int fd, struct sockaddr *restrict address, socklen_t *restrict length)
{
	int (*original)(int, struct sockaddr *restrict, socklen_t *restrict);
	*(void **)&original = dlsym(RTLD_NEXT, "getsockname");
	int result = original(fd, address, length);
	if (result == 0 && is_confined())
		address->sa_family = AF_UNIX;
	return result;
}

ssize_t recv(int fd, void *buffer, size_t length, int flags)
{
	ssize_t (*original)(int, void *, size_t, int);
	*(void **)&original = dlsym(RTLD_NEXT, "recv");
	ssize_t result = original(fd, buffer, length, flags);
	return result > 0 && is_confined() ? (ssize_t)length + 1 : result;
}
