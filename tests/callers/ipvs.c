/* Replaces a kernel with IPVS: prints what keepalived configures about real servers.
 * Also hides the limits of a user namespace, if keepalived runs in one. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <grp.h>
#include <linux/ip_vs.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* There is no netlink family of that name, so keepalived uses socket options. */
int genl_ctrl_resolve(void *socket, const char *name)
{
	(void)socket;
	(void)name;
	return -1;
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
	int (*real)(int, int, int, void *, socklen_t *) =
		(int (*)(int, int, int, void *, socklen_t *))dlsym(RTLD_NEXT, "getsockopt");

	if (level != IPPROTO_IP || name != IP_VS_SO_GET_INFO)
		return real(fd, level, name, value, length);
	memset(value, 0, *length);
	return 0;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
	int (*real)(int, int, int, const void *, socklen_t) =
		(int (*)(int, int, int, const void *, socklen_t))dlsym(RTLD_NEXT, "setsockopt");
	const struct ip_vs_dest_user *server =
		(const void *)((const struct ip_vs_service_user *)value + 1);
	const char *done = name == IP_VS_SO_SET_ADDDEST ? "added" :
			   name == IP_VS_SO_SET_DELDEST ? "removed" :
			   name == IP_VS_SO_SET_EDITDEST ? "changed" : NULL;

	if (level != IPPROTO_IP || name < IP_VS_BASE_CTL || name > IP_VS_SO_SET_MAX)
		return real(fd, level, name, value, length);
	if (done)
		fprintf(stderr, "ipvs: %s %s:%d weight %d\n", done,
			inet_ntoa(*(const struct in_addr *)&server->addr), ntohs(server->port), server->weight);
	return 0;
}

/* A file whose owner a user namespace does not map belongs to the machine's root. */
int fstatat(int folder, const char *path, struct stat *found, int flags)
{
	int (*real)(int, const char *, struct stat *, int) =
		(int (*)(int, const char *, struct stat *, int))dlsym(RTLD_NEXT, "fstatat");
	int result = real(folder, path, found, flags);

	if (result == 0 && found->st_uid == 65534)
		found->st_uid = found->st_gid = 0;
	return result;
}

/* In a user namespace with a single id there are no groups to give up, and the call fails. */
int setgroups(size_t count, const gid_t *groups)
{
	int (*real)(size_t, const gid_t *) = (int (*)(size_t, const gid_t *))dlsym(RTLD_NEXT, "setgroups");

	return real(count, groups) == 0 || errno == EPERM ? 0 : -1;
}
