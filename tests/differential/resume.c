/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * resume [--with HYPERVISOR] [--seed N] [--points N]: snapshots move between the software CPU and
 * KVM, or another hypervisor of Linux; see journey.h.
 */
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include "journey.h"

static visor_vcpu *volatile victim;

static void on_alarm(int number)
{
    (void)number;
    if (victim != NULL)
        visor_vcpu_kick(victim);
}

void journey_kick_after(visor_vcpu *vcpu, uint64_t us)
{
    const struct itimerval when = {
        .it_value = {.tv_sec = (time_t)(us / 1000000), .tv_usec = (suseconds_t)(us % 1000000)}};

    victim = vcpu;
    setitimer(ITIMER_REAL, &when, NULL);
}

uint64_t journey_now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

int main(int argc, char **argv)
{
    const struct sigaction action = {.sa_handler = on_alarm};
    struct machine machines[2] = {{.name = "kvm"}, {.name = "soft"}};
    struct journey_terms terms = {.rounds = 400,
                                  .steps = 64,
                                  .features = RESUME_AVX | RESUME_REGS,
                                  .points = 20,
                                  .limit_us = 60000000,
                                  .slow = true};

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--with") == 0)
            machines[0].name = argv[i + 1];
    }
    /* It lets nobody save what XSAVE keeps, has no CR8, and no debug registers while it steps. */
    if (strcmp(machines[0].name, "haxm") == 0)
        terms.features = 0;
    sigaction(SIGALRM, &action, NULL);
    return journey_main(argc, argv, machines, &terms);
}
