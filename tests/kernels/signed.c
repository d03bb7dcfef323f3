/* TCP whose segments carry a signature (RFC 2385, RFC 5925).
 *
 *   signed listen md5|ao ADDRESS PORT PEER     prints "ready" and listens; PEER has the key
 *   signed connect md5|ao ADDRESS PORT FROM    exits with 0 if connected
 *
 * Exits with 77 if the kernel has no such signatures.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define KEY "a key of the tests"

/* Of linux/tcp.h, since Linux 6.7. */
enum { ADD_AO_KEY = 38 };
struct ao_key {
	struct sockaddr_storage address;
	char algorithm[64];
	int32_t interface;
	uint32_t flags;
	uint16_t reserved;
	uint8_t prefix, sent_id, received_id, length, key_flags, key_length, key[80];
} __attribute__((aligned(8)));

static void fail(const char *what)
{
	int lacking = errno == ENOPROTOOPT;

	perror(what);
	exit(lacking ? 77 : 1);
}

static struct sockaddr_storage parse(const char *address, int port, socklen_t *length)
{
	struct sockaddr_storage parsed = {0};
	struct sockaddr_in *v4 = (void *)&parsed;
	struct sockaddr_in6 *v6 = (void *)&parsed;

	if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		*length = sizeof *v4;
	} else if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		*length = sizeof *v6;
	} else {
		errno = EINVAL;
		fail(address);
	}
	return parsed;
}

static void set_key(int fd, const char *kind, const char *peer)
{
	socklen_t length;
	struct sockaddr_storage address = parse(peer, 0, &length);

	if (!strcmp(kind, "md5")) {
		struct tcp_md5sig md5 = {.tcpm_keylen = strlen(KEY)};
		memcpy(&md5.tcpm_addr, &address, sizeof address);
		memcpy(md5.tcpm_key, KEY, strlen(KEY));
		if (setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, &md5, sizeof md5))
			fail("TCP_MD5SIG");
	} else {
		struct ao_key ao = {.address = address, .algorithm = "hmac(sha1)", .sent_id = 100,
				    .received_id = 100, .key_length = strlen(KEY)};
		ao.prefix = address.ss_family == AF_INET ? 32 : 128;
		memcpy(ao.key, KEY, strlen(KEY));
		if (setsockopt(fd, IPPROTO_TCP, ADD_AO_KEY, &ao, sizeof ao))
			fail("TCP_AO_ADD_KEY");
	}
}

int main(int argc, char **argv)
{
	socklen_t length;
	struct sockaddr_storage address, from;
	int listens, fd;

	if (argc != 6)
		return 2;
	listens = !strcmp(argv[1], "listen");
	address = parse(argv[3], atoi(argv[4]), &length);
	from = parse(argv[5], 0, &length);
	fd = socket(address.ss_family, SOCK_STREAM, 0);
	if (fd < 0)
		fail("socket");
	set_key(fd, argv[2], listens ? argv[5] : argv[3]);
	if (!listens) {
		if (bind(fd, (void *)&from, length) || connect(fd, (void *)&address, length))
			fail("connect");
		return 0;
	}
	if (bind(fd, (void *)&address, length) || listen(fd, 16))
		fail("listen");
	puts("ready");
	fflush(stdout);
	for (;;)
		pause();
}
