/* The hook that L4xNAT farms preload into their checks, by its rules: marks every socket, then gives up CAP_NET_ADMIN. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int socket(int domain, int type, int protocol)
{
	int (*real)(int, int, int) = (int (*)(int, int, int))dlsym(RTLD_NEXT, "socket");
	int fd = real(domain, type, protocol);
	const char *mark = getenv("MARK");

	if (fd >= 0 && mark) {
		int value = atoi(mark);
		struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
		struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];

		setsockopt(fd, SOL_SOCKET, SO_MARK, &value, sizeof value);
		if (syscall(SYS_capget, &header, sets) == 0) {
			sets[0].effective &= ~(1u << CAP_NET_ADMIN);
			syscall(SYS_capset, &header, sets);
		}
	}
	return fd;
}
