/* What an intruder would try, once in each thread that sends or looks up a name. Reports on standard error how each attempt
   ended. The kernel would refuse the arguments with another error than EPERM, or success is harmless. So EPERM comes from the
   filter, and so does ENOSYS for clone3(), which the C library then does without. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netdb.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 0x7fffffff /* beyond the largest process id there is */
#define NOWHERE ((void *)1)
#define NOTHING "/dev/null"

static pid_t parent;

__attribute__((constructor)) static void look_around(void)
{
	parent = getppid();
}

#define TRY(call, ...) \
	do { \
		long result = syscall(SYS_##call, ##__VA_ARGS__, 0L, 0L, 0L); \
		dprintf(2, "%d %s(%s): %s\n", gettid(), #call, #__VA_ARGS__, \
			result == -1 ? strerrorname_np(errno) : "done"); \
	} while (0)

static void try_all(void)
{
	static __thread int tried;
	if (tried++)
		return;
	int saved = errno;
	/* Other programs. */
	TRY(execve, "/nonexistent", 0L, 0L);
	TRY(execveat, -1, "nonexistent", 0L, 0L, 0L);
	TRY(memfd_create, "code", 0L);
	TRY(clone, CLONE_SIGHAND);
	TRY(clone, CLONE_NEWUSER | CLONE_FS);
	TRY(clone3, NOWHERE, 0L);
	TRY(unshare, 0L);
	TRY(setns, -1, 0L);
	/* Files. */
	TRY(openat, AT_FDCWD, NOTHING, O_WRONLY);
	TRY(openat, AT_FDCWD, NOTHING, O_RDWR);
	TRY(openat, AT_FDCWD, NOTHING, O_RDONLY | O_CREAT, 0600);
	TRY(openat, AT_FDCWD, NOTHING, O_RDONLY | O_TRUNC);
	TRY(openat, AT_FDCWD, NOTHING, O_RDONLY | O_APPEND);
	TRY(openat2, AT_FDCWD, NOWHERE, NOWHERE, 24L);
#ifdef SYS_open
	TRY(open, NOTHING, O_WRONLY);
	TRY(creat, NOTHING, 0600);
#endif
	TRY(truncate, NOTHING, 0L);
	TRY(unlinkat, AT_FDCWD, "/nonexistent", 0L);
	TRY(mkdirat, AT_FDCWD, NOWHERE, 0700);
	TRY(fchmodat, AT_FDCWD, NOWHERE, 0700);
	TRY(mount, NOWHERE, NOWHERE, NOWHERE, 0L, NOWHERE);
	TRY(umount2, NOWHERE, 0L);
	TRY(chroot, NOWHERE);
	/* Sockets. */
	TRY(socket, AF_INET, SOCK_RAW, 0L);
	TRY(socket, AF_INET6, SOCK_RAW, 0L);
	TRY(socket, AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_TCP);
	TRY(socket, AF_INET6, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_TCP);
	TRY(socket, AF_INET, SOCK_PACKET, 0L);
	TRY(socket, AF_PACKET, SOCK_SEQPACKET + 1, 0L);
	TRY(socket, AF_PACKET, SOCK_RAW, 0L);
	TRY(socket, AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT);
	TRY(socket, AF_MAX, SOCK_STREAM, 0L);
	/* Other processes. */
	TRY(kill, parent, 0L);
	TRY(tgkill, parent, parent, 0L);
	TRY(tkill, parent, 0L);
	TRY(pidfd_open, parent, 0L);
	TRY(fcntl, 0L, F_SETOWN, parent);
	TRY(ptrace, PTRACE_ATTACH, NOBODY, 0L, 0L);
	TRY(process_vm_readv, NOBODY, NOWHERE, 1L, NOWHERE, 1L, 0L);
	TRY(process_vm_writev, NOBODY, NOWHERE, 1L, NOWHERE, 1L, 0L);
	TRY(prlimit64, parent, RLIMIT_NOFILE, 0L, 0L);
	TRY(ioctl, 0L, TIOCSTI, "x");
	/* What this process may do. */
	TRY(setuid, getuid());
	TRY(setresuid, -1, -1, -1);
	TRY(capset, NOWHERE, NOWHERE);
	TRY(prctl, PR_SET_DUMPABLE, 1L);
	TRY(prctl, PR_SET_KEEPCAPS, 0L);
	/* The rest of the kernel. */
	TRY(bpf, 0L, NOWHERE, 1L << 20);
	TRY(perf_event_open, NOWHERE, 0L, 0L, 0L, ~0L);
	TRY(io_uring_setup, 0L, NOWHERE);
	TRY(keyctl, 0L, 0L, 0L);
	dprintf(2, "%d that is all\n", gettid());
	errno = saved;
}

/* Calls the function of the C library of that name, after the attempts. */
#define AFTER_ATTEMPTS(type, name, parameters, ...) \
	type name parameters \
	{ \
		type (*original) parameters; \
		try_all(); \
		*(void **)&original = dlsym(RTLD_NEXT, #name); \
		return original(__VA_ARGS__); \
	}

/* A raw socket sends. */
AFTER_ATTEMPTS(int, sendmmsg, (int fd, struct mmsghdr *messages, unsigned count, int flags), fd, messages, count, flags)

/* A handshake ends. */
AFTER_ATTEMPTS(int, epoll_wait, (int fd, struct epoll_event *events, int count, int patience), fd, events, count, patience)

/* A name is looked up. */
AFTER_ATTEMPTS(int, getaddrinfo,
	(const char *restrict node, const char *restrict service, const struct addrinfo *restrict hints,
		struct addrinfo **restrict found), node, service, hints, found)
