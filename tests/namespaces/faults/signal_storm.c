/* A signal every 200 microseconds: system calls that wait are interrupted, and not restarted. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Nothing else uses this signal. */
#define OURS (SIGRTMIN + 5)

static volatile sig_atomic_t count;

static void handle(int signal)
{
	(void)signal;
	count++;
}

static int is_under_test(void)
{
	return strcmp(program_invocation_short_name, "halfopen") == 0;
}

__attribute__((constructor)) static void begin(void)
{
	struct sigaction action = { .sa_handler = handle };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = OURS };
	struct itimerspec every = { { 0, 200000 }, { 0, 200000 } };
	timer_t timer;
	if (!is_under_test())
		return;
	if (sigaction(OURS, &action, NULL) != 0 || timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 ||
	    timer_settime(timer, 0, &every, NULL) != 0)
		abort();
}

__attribute__((destructor)) static void end(void)
{
	if (is_under_test())
		fprintf(stderr, "%d signals\n", (int)count);
}
