/* Setting a mark takes CAP_NET_ADMIN before Linux 5.17, and binding to an interface CAP_NET_RAW before Linux 5.7: requires them
   like those kernels. (It reads the capabilities in /proc, because system calls are filtered.) */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/socket.h>

static int has(int capability)
{
	char line[256];
	unsigned long long effective = 0;
	FILE *status = fopen("/proc/thread-self/status", "r");
	while (status != NULL && fgets(line, sizeof line, status) != NULL)
		if (sscanf(line, "CapEff: %llx", &effective) == 1)
			break;
	if (status != NULL)
		fclose(status);
	return effective >> capability & 1;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
	int (*original)(int, int, int, const void *, socklen_t);
	*(void **)&original = dlsym(RTLD_NEXT, "setsockopt");
	if (level == SOL_SOCKET
		&& ((name == SO_MARK && !has(CAP_NET_ADMIN)) || (name == SO_BINDTODEVICE && !has(CAP_NET_RAW)))) {
		errno = EPERM;
		return -1;
	}
	return original(fd, level, name, value, length);
}
