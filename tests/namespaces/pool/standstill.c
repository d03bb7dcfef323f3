/* Stops the program once it has sent LAST_SYN SYNs through raw sockets. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>

#define FLAGS 13 /* of a TCP header (RFC 9293 section 3.1) */
#define SYN 2

int sendmmsg(int socket, struct mmsghdr *messages, unsigned int count, int flags)
{
	static int syns;
	int last = atoi(getenv("LAST_SYN")), before, here = 0;
	int sent = ((__typeof__(&sendmmsg))dlsym(RTLD_NEXT, "sendmmsg"))(socket, messages, count, flags);
	for (int each = 0; each < sent; each++) {
		const unsigned char *header = messages[each].msg_hdr.msg_iov->iov_base;
		here += header[FLAGS] == SYN;
	}
	/* RSTs leave on another thread. */
	before = __atomic_fetch_add(&syns, here, __ATOMIC_RELAXED);
	if (before < last && before + here >= last)
		raise(SIGSTOP);
	return sent;
}
