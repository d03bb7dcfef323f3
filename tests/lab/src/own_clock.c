/*
 * A monotonic clock that counts only the program's own waits, and none longer than on a quiet machine. Everything else
 * that a busy machine does takes no time, so every SYN leaves when it is due, and silence is always waited for to the end.
 * A wait does not end while a name look-up could proceed. Each reading takes a microsecond.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000L
#define MILLISECOND 1000000L
#define READING 1000L
#define LATENESS (2 * MILLISECOND) /* of a quiet machine, at the end of a wait */
#define WITHOUT_END LONG_MAX
#define PART (10 * MILLISECOND) /* of a wait for look-ups */
#define FEW 16 /* with fewer descriptors than these the program needs each */
#define TIMERS 1024 /* descriptors that may be timers */
#define SIGNALS (_NSIG / 8) /* bytes of a signal set in the kernel */

static long now;              /* nanoseconds */
static long waits;            /* how much of it was waited for */
static pthread_t main_thread; /* the one whose waits count */
static long main_number;
static int report = -1;       /* where that is written at the end */
static int threads = -1;      /* the folder that has the states of all */
static int delays = -1;       /* how long the main thread was ready to run and did not, as the kernel counts it */
static long delayed;          /* as it was last time */
static long longest_delay;    /* from the end of one wait to that of the next */
static long last_wait;        /* when the last one ended, by the kernel's clock */
static long timers[TIMERS];   /* when each goes off, by descriptor: they count this clock's time, not the kernel's */

static long nanoseconds(const struct timespec *time)
{
	return time->tv_sec * SECOND + time->tv_nsec;
}

static struct timespec timespec(long nanoseconds)
{
	return (struct timespec){ nanoseconds / SECOND, nanoseconds % SECOND };
}

static long real(void)
{
	struct timespec time;
	syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &time);
	return nanoseconds(&time);
}

/* The same file by one of the last three descriptors that the limit allows, which no program uses. */
static int out_of_the_way(int file)
{
	struct rlimit limit;
	int moved = -1;
	if (file >= 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur >= FEW)
		moved = fcntl(file, F_DUPFD_CLOEXEC, (int)(limit.rlim_cur < 1024 ? limit.rlim_cur : 1024) - 3);
	if (file >= 0)
		close(file);
	return moved;
}

__attribute__((constructor)) static void start(void)
{
	const char *path = getenv("UNHURRIED_CLOCK");
	char self[32] = "";
	now = real();
	main_thread = pthread_self();
	/* Its number in /proc, which may be that of another pid namespace. */
	if (readlink("/proc/self", self, sizeof self - 1) > 0)
		main_number = strtol(self, NULL, 10);
	/* Opened now, because the program gives up access to files. */
	threads = out_of_the_way(open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	delays = out_of_the_way(open("/proc/self/schedstat", O_RDONLY | O_CLOEXEC));
	if (path != NULL)
		report = out_of_the_way(open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
}

__attribute__((destructor)) static void end(void)
{
	char line[96];
	int length = snprintf(line, sizeof line, "%ld %ld %ld\n", waits, longest_delay, last_wait);
	if (report >= 0 && write(report, line, (size_t)length) != length)
		abort();
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
	if (clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME)
		return (int)syscall(SYS_clock_gettime, clock, time);
	*time = timespec(__atomic_add_fetch(&now, READING, __ATOMIC_RELAXED));
	return 0;
}

/* Returns how long the main thread was ready to run and did not, since the last call. */
static long newly_delayed(void)
{
	char line[64] = "";
	long before = delayed;
	if (delays < 0 || pread(delays, line, sizeof line - 1, 0) < 0 || sscanf(line, "%*s %ld", &delayed) != 1)
		return 0;
	return delayed - before;
}

/* What a thread does, by its state: "S" if it waits. A thread that has not run yet has no name of its own. */
enum work { NO_LOOK_UP, WAITS, IS_HELD_UP };

static enum work work_of(const char *thread)
{
	char path[32], line[128] = "";
	int stat, is_other = thread[0] != '.' && strtol(thread, NULL, 10) != main_number;
	snprintf(path, sizeof path, "%.19s/stat", thread);
	stat = is_other ? openat(threads, path, O_RDONLY | O_CLOEXEC) : -1;
	if (stat < 0)
		return NO_LOOK_UP;
	is_other = read(stat, line, sizeof line - 1) > 0 && strstr(line, "(RSTs) ") == NULL;
	syscall(SYS_close, stat);
	return !is_other ? NO_LOOK_UP : strstr(line, ") S ") == NULL ? IS_HELD_UP : WAITS;
}

/* Returns what the thread with the most work does. With `wait`, waits until none is held up. */
static enum work most_work(int wait)
{
	static const struct timespec moment = { 0, MILLISECOND };
	char entries[4096];
	long length;
	enum work work, most = NO_LOOK_UP;
	if (threads < 0 || lseek(threads, 0, SEEK_SET) < 0)
		return most;
	while ((length = syscall(SYS_getdents64, threads, entries, sizeof entries)) > 0)
		for (struct dirent64 *each = (void *)entries; (char *)each < entries + length;
			each = (void *)((char *)each + each->d_reclen))
			do {
				work = work_of(each->d_name);
				most = work > most ? work : most;
			} while (wait && work == IS_HELD_UP && syscall(SYS_nanosleep, &moment, NULL) == 0);
	return most;
}

static int looks_up(void)
{
	return most_work(0) != NO_LOOK_UP;
}

/* Waits until no look-up can proceed. Returns true if one could. */
static int let_look_ups_go_on(void)
{
	return most_work(1) == IS_HELD_UP;
}

struct wait {
	long begin;
	long delay_before;
};

static struct wait begin(void)
{
	struct wait wait = { 0, 0 };
	if (pthread_equal(pthread_self(), main_thread))
		wait.delay_before = newly_delayed();
	wait.begin = real();
	return wait;
}

/* Advances the clock by a part of a wait for look-ups: as much time as has passed for the servers that they ask, but no
 * more than is left of the wait. Returns that. */
static long count_part(struct wait wait, long left)
{
	long waited = real() - wait.begin;
	waited = waited < left ? waited : left;
	if (pthread_equal(pthread_self(), main_thread)) {
		__atomic_add_fetch(&now, waited, __ATOMIC_RELAXED);
		waits += waited;
	}
	return waited;
}

/* Advances the clock by a wait, for at most this long. */
static void count(struct wait wait, long at_most, int result)
{
	long end = real(), waited = end - wait.begin, delay;
	if (!pthread_equal(pthread_self(), main_thread))
		return;
	last_wait = end;
	delay = newly_delayed();
	waited = waited > delay ? waited - delay : 0;
	if (at_most < WITHOUT_END - LATENESS && waited > at_most + LATENESS)
		waited = at_most + LATENESS;
	if (result == 0 && waited < at_most)
		waited = at_most;
	__atomic_add_fetch(&now, waited, __ATOMIC_RELAXED);
	waits += waited;
	if (wait.delay_before + delay > longest_delay)
		longest_delay = wait.delay_before + delay;
}

int timerfd_settime(int timer, int flags, const struct itimerspec *new, struct itimerspec *old)
{
	static const struct itimerspec never;
	long at = nanoseconds(&new->it_value);
	if (timer >= TIMERS)
		abort();
	timers[timer] = at == 0 || flags & TFD_TIMER_ABSTIME ? at : now + at;
	return (int)syscall(SYS_timerfd_settime, timer, 0, &never, old);
}

int close(int descriptor)
{
	if (descriptor >= 0 && descriptor < TIMERS)
		timers[descriptor] = 0;
	return (int)syscall(SYS_close, descriptor);
}

static int counted_wait(void *watched, nfds_t number, const struct timespec *timeout, const sigset_t *signals)
{
	long at_most = timeout == NULL ? WITHOUT_END : nanoseconds(timeout), part;
	struct timespec left;
	struct wait wait;
	int result;
	do {
		/* The parts at whose end a look-up was held up do not count. */
		part = at_most > PART && looks_up() ? PART : at_most;
		left = timespec(part);
		wait = begin();
		result = (int)syscall(SYS_ppoll, watched, number, part == WITHOUT_END ? NULL : &left, signals, SIGNALS);
		if (result == 0 && part > 0 && let_look_ups_go_on())
			continue;
		if (part == at_most) {
			count(wait, part, result);
			break;
		}
		part = count_part(wait, at_most);
		at_most -= at_most == WITHOUT_END ? 0 : part;
	} while (result == 0);
	return result;
}

static struct pollfd *timer_among(void *watched, nfds_t number)
{
	for (struct pollfd *each = watched; each < (struct pollfd *)watched + number; each++)
		if (each->fd >= 0 && each->fd < TIMERS && timers[each->fd] != 0)
			return each;
	return NULL;
}

/* If one of `watched` is a timer, the wait ends when it expires. */
static int wait_for_timer(struct pollfd *watched, nfds_t number, struct pollfd *timer, const sigset_t *signals)
{
	long at_most = timers[timer->fd] - now;
	struct timespec left = timespec(at_most > 0 ? at_most : 0);
	int result = ppoll(watched, number, &left, signals);
	if (result == 0) {
		timer->revents = POLLIN;
		result = 1;
	}
	return result;
}

int ppoll(struct pollfd *watched, nfds_t number, const struct timespec *timeout, const sigset_t *signals)
{
	struct pollfd *timer = timeout == NULL ? timer_among(watched, number) : NULL;
	if (timer != NULL)
		return wait_for_timer(watched, number, timer, signals);
	return counted_wait(watched, number, timeout, signals);
}

int poll(struct pollfd *watched, nfds_t number, int timeout)
{
	struct timespec left = timespec(timeout * MILLISECOND);
	return ppoll(watched, number, timeout < 0 ? NULL : &left, NULL);
}

int epoll_pwait(int epoll, struct epoll_event *events, int most, int timeout, const sigset_t *signals)
{
	struct wait wait = begin();
	int result = (int)syscall(SYS_epoll_pwait, epoll, events, most, timeout, signals, SIGNALS);
	count(wait, timeout < 0 ? WITHOUT_END : timeout * MILLISECOND, result);
	return result;
}

int epoll_wait(int epoll, struct epoll_event *events, int most, int timeout)
{
	return epoll_pwait(epoll, events, most, timeout, NULL);
}
