/* burst: start a program many times at the same moment.
 *
 *   cc -O2 -o burst burst.c
 *   ./burst COUNT PROGRAM ARGUMENT...
 *
 * Prints the nanoseconds until the last process has ended. The output of the program is discarded.
 * Exit code: 0 when all of them end with 0, 1 otherwise, 3 when it could not try.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void need(int success, const char *what)
{
    if (!success) {
        perror(what);
        exit(3);
    }
}

static long long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

/* Reports that it is ready, waits until the other end of `start` is closed, and becomes the program. */
static void run(char **program, int ready, const int start[2], int nowhere)
{
    char byte;

    need(close(start[1]) == 0, "close");
    need(write(ready, "", 1) == 1, "write");
    need(read(start[0], &byte, 1) == 0, "read");
    need(dup2(nowhere, 1) == 1 && dup2(nowhere, 2) == 2, "dup2");
    execv(program[0], program);
    _exit(127);
}

int main(int argc, char **argv)
{
    int count = argc > 2 ? atoi(argv[1]) : 0;
    int ready[2], start[2], failed = 0, status;
    char byte;

    if (count < 1) {
        fputs("usage: burst COUNT PROGRAM ARGUMENT...\n", stderr);
        return 3;
    }
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    need(nowhere >= 0, "/dev/null");
    need(pipe2(ready, O_CLOEXEC) == 0 && pipe2(start, O_CLOEXEC) == 0, "pipe");
    for (int i = 0; i < count; i++) {
        pid_t child = fork();
        need(child >= 0, "fork");
        if (child == 0)
            run(argv + 2, ready[1], start, nowhere);
    }
    for (int i = 0; i < count; i++)
        need(read(ready[0], &byte, 1) == 1, "read");

    long long began = now();
    need(close(start[1]) == 0, "close");
    for (int i = 0; i < count; i++)
        failed |= wait(&status) < 0 || status != 0;
    printf("%lld\n", now() - began);
    return failed;
}
