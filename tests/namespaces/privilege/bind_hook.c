/* Binds every internet socket to the interface $BIND, as `ip vrf exec` and preloaded hooks do. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int socket(int domain, int type, int protocol)
{
	int (*original)(int, int, int);
	*(void **)&original = dlsym(RTLD_NEXT, "socket");
	int fd = original(domain, type, protocol);
	const char *name = getenv("BIND");
	if (fd >= 0 && name != NULL && (domain == AF_INET || domain == AF_INET6))
		setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, strlen(name));
	return fd;
}
