/*
 * Linked into the packaged program, which runs on the C library of 2012, in place of functions that it can do without.
 * Together they take 4 % of the time of a single check.
 */
#define STUB __attribute__((visibility("hidden"))) /* not for preloaded libraries, which need the real ones */

/*
 * These two are the only ones that an old C library has in libdl, which would have to be loaded. The standard library
 * asks for the smallest stack of a thread, and uses PTHREAD_STACK_MIN if there is no function that tells; the unwinder
 * asks for the names of functions, for nothing but its own log.
 */
STUB void *dlsym(void *library, const char *name) {
    (void)library, (void)name;
    return 0;
}
STUB int dladdr(const void *address, void *info) {
    (void)address, (void)info;
    return 0;
}

/*
 * For the first thread, this reads and parses /proc/self/maps. The standard library asks it where the guard page is, to
 * print a message if the stack overflows. Without it, the kernel ends the program all the same, but silently.
 */
STUB int pthread_getattr_np(unsigned long thread, void *attributes) {
    (void)thread, (void)attributes;
    return 38; /* ENOSYS */
}
