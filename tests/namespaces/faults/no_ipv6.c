/* A kernel without IPv6: ipv6.disable=1, or built without it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/socket.h>

int socket(int family, int type, int protocol)
{
	if (family == AF_INET6) {
		errno = EAFNOSUPPORT;
		return -1;
	}
	return ((__typeof__(&socket))dlsym(RTLD_NEXT, "socket"))(family, type, protocol);
}
