/* What an intruder would do with CAP_NET_ADMIN: take the loopback interface down by netlink, through a new socket and those
   that are open, and change the tables of the firewall. Tries it once before the end of a handshake is read, and once before
   a name is looked up. Reports on standard error how each attempt ended. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define REPLACE_TABLE 64 /* IPT_SO_SET_REPLACE, IP6T_SO_SET_REPLACE */

/* The kernel's answer to an RTM_NEWLINK that takes the interface with index 1 down. */
static int take_down_loopback(int fd)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg link;
	} request = {
		{ sizeof request, RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, 1, 0 },
		{ .ifi_family = AF_UNSPEC, .ifi_index = 1, .ifi_flags = 0, .ifi_change = IFF_UP },
	};
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
		char quote[256];
	} answer;
	if (send(fd, &request, sizeof request, 0) < 0 || recv(fd, &answer, sizeof answer, 0) < 0)
		return errno;
	return -answer.error.error;
}

/* The kernel's answer to a table that does not exist. */
static int replace_table(int family, int level)
{
	char table[8] = { 0 };
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int error = setsockopt(fd, level, REPLACE_TABLE, table, sizeof table) < 0 ? errno : 0;
	close(fd);
	return error;
}

static void try_all(void)
{
	static __thread int tried;
	if (tried++)
		return;
	int saved = errno;
	int own = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	dprintf(2, "netlink: %s\n", strerrorname_np(own < 0 ? errno : 0));
	for (int fd = 0; fd < 1024; fd++) {
		int family;
		socklen_t length = sizeof family;
		if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &length) == 0 && family == AF_NETLINK)
			dprintf(2, "loopback: %s\n", strerrorname_np(take_down_loopback(fd)));
	}
	dprintf(2, "table: %s\n", strerrorname_np(replace_table(AF_INET, IPPROTO_IP)));
	dprintf(2, "table: %s\n", strerrorname_np(replace_table(AF_INET6, IPPROTO_IPV6)));
	errno = saved;
}

int epoll_wait(int fd, struct epoll_event *events, int count, int patience)
{
	int (*original)(int, struct epoll_event *, int, int);
	try_all();
	*(void **)&original = dlsym(RTLD_NEXT, "epoll_wait");
	return original(fd, events, count, patience);
}

int getaddrinfo(const char *restrict node, const char *restrict service, const struct addrinfo *restrict hints,
	struct addrinfo **restrict found)
{
	int (*original)(const char *restrict, const char *restrict, const struct addrinfo *restrict,
		struct addrinfo **restrict);
	try_all();
	*(void **)&original = dlsym(RTLD_NEXT, "getaddrinfo");
	return original(node, service, hints, found);
}
