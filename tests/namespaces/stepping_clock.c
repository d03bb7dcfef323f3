/* A wall clock for one process that is wrong. The monotonic clock is not changed. In $CLOCK:
   "steps"	it goes an hour back each time it is read;
   "ahead"	it is an hour ahead, steadily;
   "early"	it is half a second ahead, steadily;
   "late"	it is half a second behind, steadily;
   "stepped"	it goes an hour back when it is read for the fifth time. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long long ahead(void)	/* nanoseconds */
{
	static const long long hour = 3600LL * 1000000000;
	static long readings;
	long reading = __atomic_add_fetch(&readings, 1, __ATOMIC_RELAXED);
	const char *clock = getenv("CLOCK");
	if (clock == NULL || strcmp(clock, "steps") == 0)
		return -hour * reading;
	if (strcmp(clock, "ahead") == 0)
		return hour;
	if (strcmp(clock, "early") == 0)
		return hour / 7200;
	if (strcmp(clock, "late") == 0)
		return -hour / 7200;
	return reading < 5 ? 0 : -hour;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int result;
	if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)
		return ((__typeof__(&clock_gettime))dlsym(RTLD_NEXT, "clock_gettime"))(clock, now);
	result = (int)syscall(SYS_clock_gettime, clock, now);
	if (result == 0) {
		long long nanos = now->tv_sec * 1000000000LL + now->tv_nsec + ahead();
		now->tv_sec = nanos / 1000000000;
		now->tv_nsec = nanos % 1000000000;
	}
	return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec precise;
	(void)zone;
	if (clock_gettime(CLOCK_REALTIME, &precise) != 0)
		return -1;
	now->tv_sec = precise.tv_sec;
	now->tv_usec = precise.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *now)
{
	struct timespec precise;
	if (clock_gettime(CLOCK_REALTIME, &precise) != 0)
		return (time_t)-1;
	if (now != NULL)
		*now = precise.tv_sec;
	return precise.tv_sec;
}
