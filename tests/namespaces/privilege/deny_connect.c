/* Makes connect() of every TCP socket fail, with the error of a security module. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/socket.h>

int connect(int fd, const struct sockaddr *address, socklen_t length)
{
	int (*original)(int, const struct sockaddr *, socklen_t);
	*(void **)&original = dlsym(RTLD_NEXT, "connect");
	int type = 0;
	socklen_t size = sizeof type;
	getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size);
	if (type == SOCK_STREAM) {
		errno = EACCES;
		return -1;
	}
	return original(fd, address, length);
}
