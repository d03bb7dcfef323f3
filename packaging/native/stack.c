/*
 * Linked into a program that is built for this machine, in place of pthread_getattr_np(). The standard library calls
 * it at the start, so that it can tell an overflow of the stack from other faults. For the first thread, the C library
 * reads and parses /proc/self/maps, which takes 4 % of the time of a single check.
 *
 * The name of the program is the last thing on that stack (create_elf_tables()). The stack grows down from the end of
 * that page to its limit (acct_stack_growth()).
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <unistd.h>

int __real_pthread_getattr_np(pthread_t thread, pthread_attr_t *attributes);

int __wrap_pthread_getattr_np(pthread_t thread, pthread_attr_t *attributes)
{
    const char *name = (const char *)getauxval(AT_EXECFN);
    struct rlimit limit;

    if (gettid() != getpid() || !name || getrlimit(RLIMIT_STACK, &limit) || limit.rlim_cur == RLIM_INFINITY)
        return __real_pthread_getattr_np(thread, attributes);
    uintptr_t page = sysconf(_SC_PAGESIZE);
    uintptr_t end = ((uintptr_t)name + strlen(name) + page) & -page;
    size_t size = limit.rlim_cur & -page;
    pthread_attr_init(attributes);
    return pthread_attr_setstack(attributes, (void *)(end - size), size);
}
