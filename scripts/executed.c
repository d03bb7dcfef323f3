/* executed: which instructions of a program are executed, for scripts/order. For x86-64.
 *
 *   cc -O2 -o executed executed.c
 *   ./executed FILE PROGRAM [ARGUMENT...]
 *
 * Runs the program step by step and writes to FILE the address of each instruction in the program's own file, once
 * each, in the order of their first execution. Ends with the exit code of the program.
 */
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIZE = 64 << 20 };

static char seen[SIZE];

/* Where the file is mapped. */
static unsigned long base_of(pid_t process)
{
    char name[64];
    unsigned long base = 0;

    snprintf(name, sizeof name, "/proc/%d/maps", process);
    FILE *maps = fopen(name, "r");
    if (!maps || fscanf(maps, "%lx", &base) != 1)
        exit(3);
    fclose(maps);
    return base;
}

int main(int argc, char **argv)
{
    FILE *file = argc < 3 ? NULL : fopen(argv[1], "w");
    int status, signal = 0;

    if (!file)
        return 3;
    pid_t process = fork();
    if (process == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        execv(argv[2], argv + 2);
        _exit(3);
    }
    if (waitpid(process, &status, 0) < 0 || !WIFSTOPPED(status))
        return 3;
    for (unsigned long base = base_of(process); WIFSTOPPED(status); waitpid(process, &status, 0)) {
        unsigned long at = ptrace(PTRACE_PEEKUSER, process, offsetof(struct user_regs_struct, rip), 0) - base;
        if (at < SIZE && !seen[at]) {
            seen[at] = 1;
            fprintf(file, "%lx\n", at);
        }
        signal = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
        ptrace(PTRACE_SINGLESTEP, process, 0, signal);
    }
    fclose(file);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 3;
}
