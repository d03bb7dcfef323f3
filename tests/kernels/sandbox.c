/* Runs a command in a sandbox of Landlock.
 *
 *   sandbox abi                              prints the version that the kernel has, 0 for none
 *   sandbox files COMMAND…                   may read and run files, and change none
 *   sandbox connect PORT COMMAND…            may connect to this TCP port alone
 *   sandbox bind COMMAND…                    may bind to no TCP port, 0 included
 *
 * Constants are those of linux/landlock.h, which older systems lack.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CREATE_RULESET = 444, ADD_RULE = 445, RESTRICT_SELF = 446, VERSION = 1, NET_PORT = 2 };
enum { CHANGE_FILES = 0x1ff2, BIND = 1, CONNECT = 2 };

struct ruleset { uint64_t files, network; };
struct port_rule { uint64_t access, port; };

static void fail(const char *what)
{
	perror(what);
	exit(99);
}

int main(int argc, char **argv)
{
	struct ruleset ruleset = {0};
	struct port_rule rule = {.access = CONNECT};
	long abi = syscall(CREATE_RULESET, NULL, 0, VERSION);
	int command = 2, known, fd;

	if (argc < 2)
		return 99;
	if (!strcmp(argv[1], "abi")) {
		printf("%ld\n", abi < 0 ? 0 : abi);
		return 0;
	}
	if (!strcmp(argv[1], "files"))
		ruleset.files = CHANGE_FILES;
	else if (!strcmp(argv[1], "bind"))
		ruleset.network = BIND;
	else {
		ruleset.network = CONNECT;
		rule.port = atoi(argv[command++]);
	}
	known = abi < 4 ? sizeof ruleset.files : sizeof ruleset;
	fd = syscall(CREATE_RULESET, &ruleset, known, 0);
	if (fd < 0)
		fail("landlock_create_ruleset");
	if (rule.port && syscall(ADD_RULE, fd, NET_PORT, &rule, 0))
		fail("landlock_add_rule");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(RESTRICT_SELF, fd, 0))
		fail("landlock_restrict_self");
	execvp(argv[command], argv + command);
	fail(argv[command]);
}
