/* Makes every Nth call of a function fail: FAULT="FUNCTION ERRNO N". */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static char faulty[32];
static int error, every;
static int calls, failed;

static int is_under_test(void)
{
	return strcmp(program_invocation_short_name, "halfopen") == 0;
}

__attribute__((constructor)) static void begin(void)
{
	if (is_under_test() && sscanf(getenv("FAULT"), "%31s %d %d", faulty, &error, &every) != 3)
		abort();
}

__attribute__((destructor)) static void end(void)
{
	if (is_under_test())
		fprintf(stderr, "%d failed\n", failed);
}

static int fails(const char *function)
{
	if (strcmp(function, faulty) != 0)
		return 0;
	if (__atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED) % every != 0)
		return 0;
	__atomic_add_fetch(&failed, 1, __ATOMIC_RELAXED);
	errno = error;
	return 1;
}

#define REAL(function) ((__typeof__(&function))dlsym(RTLD_NEXT, #function))
#define WRAP(type, function, parameters, arguments)                            \
	type function parameters                                               \
	{                                                                      \
		return fails(#function) ? -1 : REAL(function) arguments;       \
	}

WRAP(int, socket, (int family, int type, int protocol), (family, type, protocol))
WRAP(int, bind, (int socket, __CONST_SOCKADDR_ARG address, socklen_t size), (socket, address, size))
WRAP(int, connect, (int socket, __CONST_SOCKADDR_ARG address, socklen_t size), (socket, address, size))
WRAP(int, getsockname, (int socket, __SOCKADDR_ARG address, socklen_t *restrict size), (socket, address, size))
WRAP(int, setsockopt, (int socket, int level, int name, const void *value, socklen_t size), (socket, level, name, value, size))
WRAP(int, sendmmsg, (int socket, struct mmsghdr *messages, unsigned int count, int flags), (socket, messages, count, flags))
WRAP(int, recvmmsg, (int socket, struct mmsghdr *messages, unsigned int count, int flags, struct timespec *patience), (socket, messages, count, flags, patience))
WRAP(ssize_t, recvmsg, (int socket, struct msghdr *message, int flags), (socket, message, flags))
WRAP(int, ppoll, (struct pollfd *watched, nfds_t count, const struct timespec *patience, const sigset_t *signals), (watched, count, patience, signals))
WRAP(int, epoll_ctl, (int epoll, int operation, int descriptor, struct epoll_event *event), (epoll, operation, descriptor, event))
WRAP(int, epoll_wait, (int epoll, struct epoll_event *events, int count, int patience), (epoll, events, count, patience))
WRAP(ssize_t, read, (int descriptor, void *bytes, size_t count), (descriptor, bytes, count))
