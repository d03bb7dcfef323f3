/* stages: when halfopen gets from one stage of a check to the next. A library to preload.
 *
 *   cc -O2 -shared -fPIC -o stages.so stages.c
 *
 * Just before the program writes its verdict, writes times to descriptor 100, in nanoseconds of CLOCK_MONOTONIC:
 * its start, the first socket, the last question to a socket before privileges are given up, their end, the end of
 * installing the filter of system calls, and the verdict.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { DESCRIPTOR = 100 };

enum mark { STARTED, FIRST_SOCKET, SOCKETS, PRIVILEGES, FILTER, VERDICT, MARKS };

static long long marks[MARKS];

static void mark(enum mark which)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    marks[which] = time.tv_sec * 1000000000LL + time.tv_nsec;
}

#define NEXT(name) __typeof__(name) *next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void started(void)
{
    mark(STARTED);
}

int socket(int domain, int type, int protocol)
{
    NEXT(socket);
    if (!marks[FIRST_SOCKET])
        mark(FIRST_SOCKET);
    return next(domain, type, protocol);
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
    NEXT(getsockopt);
    int result = next(fd, level, name, value, length);
    if (!marks[PRIVILEGES])
        mark(SOCKETS);
    return result;
}

int prctl(int option, ...)
{
    NEXT(prctl);
    va_list list;
    unsigned long argument[4];

    va_start(list, option);
    for (int i = 0; i < 4; i++)
        argument[i] = va_arg(list, unsigned long);
    va_end(list);
    int result = next(option, argument[0], argument[1], argument[2], argument[3]);
    if (option == PR_SET_DUMPABLE)
        mark(PRIVILEGES);
    return result;
}

long syscall(long number, ...)
{
    NEXT(syscall);
    va_list list;
    long argument[6];

    va_start(list, number);
    for (int i = 0; i < 6; i++)
        argument[i] = va_arg(list, long);
    va_end(list);
    long result = next(number, argument[0], argument[1], argument[2], argument[3], argument[4], argument[5]);
    if (number == SYS_seccomp)
        mark(FILTER);
    return result;
}

ssize_t write(int fd, const void *bytes, size_t length)
{
    NEXT(write);
    if (fd == STDOUT_FILENO && !marks[VERDICT]) {
        mark(VERDICT);
        (void)!next(DESCRIPTOR, marks, sizeof marks);
    }
    return next(fd, bytes, length);
}
