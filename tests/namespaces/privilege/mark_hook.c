/* Marks every internet socket with $MARK, then lowers CAP_NET_ADMIN: the hook that a load balancer puts before its monitors. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static void lower_net_admin(void)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
	if (syscall(SYS_capget, &header, sets) == 0) {
		sets[0].effective &= ~(1u << CAP_NET_ADMIN);
		syscall(SYS_capset, &header, sets);
	}
}

int socket(int domain, int type, int protocol)
{
	int (*original)(int, int, int);
	*(void **)&original = dlsym(RTLD_NEXT, "socket");
	int fd = original(domain, type, protocol);
	const char *wanted = getenv("MARK");
	if (fd >= 0 && wanted != NULL && (domain == AF_INET || domain == AF_INET6)) {
		unsigned mark = strtoul(wanted, NULL, 0);
		setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark);
		lower_net_admin();
	}
	return fd;
}
