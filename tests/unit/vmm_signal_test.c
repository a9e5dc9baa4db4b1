/* SPDX-License-Identifier: BSD-3-Clause */
/* Which signals the threads of the VMM take. */
#include "os/os.h"

#include <signal.h>

#include "unit.h"

static void *take_mask(void *argument)
{
    pthread_sigmask(SIG_SETMASK, NULL, argument);
    return NULL;
}

TEST(threads_leave_signals_to_the_main_thread_but_not_their_faults)
{
    sigset_t mask;
    pthread_t thread;

    sigemptyset(&mask);
    REQUIRE_OK(vmm_thread_start(&thread, take_mask, &mask, NULL));
    pthread_join(thread, NULL);
    CHECK(sigismember(&mask, SIGTERM));
    CHECK(sigismember(&mask, SIGPIPE));
    CHECK(sigismember(&mask, SIGXFSZ));
    CHECK(!sigismember(&mask, SIGSEGV));
    CHECK(!sigismember(&mask, SIGBUS));
}

UNIT_MAIN()
