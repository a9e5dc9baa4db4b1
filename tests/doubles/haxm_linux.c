/* SPDX-License-Identifier: BSD-3-Clause */
/* What the double of HAXM needs of Linux. */
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include "haxm_machine.h"

const bool driver_tells_msrs_set = false;

void *driver_page(void)
{
    void *page =
        mmap(NULL, HAX_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return page == MAP_FAILED ? NULL : page;
}

void driver_page_free(void *page)
{
    munmap(page, HAX_PAGE_SIZE);
}

/* ---- the clock's interrupts ---- */

static pthread_mutex_t *tick_lock;

static void *run_clock(void *argument)
{
    void (*tick)(void) = argument;

    for (;;) {
        usleep(1000);
        tick();
    }
    return NULL;
}

static void before_fork(void)
{
    pthread_mutex_lock(tick_lock);
}

static void after_fork(void)
{
    pthread_mutex_unlock(tick_lock);
}

static void watch_forks(void)
{
    pthread_atfork(before_fork, after_fork, after_fork);
}

/* A child of fork() has none of its parent's threads. */
void driver_clock_start(void (*tick)(void), pthread_mutex_t *lock)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static pid_t owner;
    pthread_t thread;

    tick_lock = lock;
    pthread_once(&once, watch_forks);
    if (owner == getpid())
        return;
    owner = getpid();
    if (pthread_create(&thread, NULL, run_clock, (void *)tick) != 0)
        double_die("no thread for the clock");
    pthread_detach(thread);
}
