/* SPDX-License-Identifier: BSD-3-Clause */
/* Snapshots move between the software CPU and the backend "whpx" in front of the double; see
 * tests/differential/journey.h. */
#include <windows.h>

#include "differential/journey.h"

static struct {
    visor_vcpu *vcpu;
    DWORD ms;
    HANDLE over, thread;
} kick;

static DWORD WINAPI kick_later(void *context)
{
    (void)context;
    if (WaitForSingleObject(kick.over, kick.ms) == WAIT_TIMEOUT)
        visor_vcpu_kick(kick.vcpu);
    return 0;
}

void journey_kick_after(visor_vcpu *vcpu, uint64_t us)
{
    if (kick.thread != NULL) {
        SetEvent(kick.over);
        WaitForSingleObject(kick.thread, INFINITE);
        CloseHandle(kick.thread);
        CloseHandle(kick.over);
        kick.thread = NULL;
    }
    if (vcpu == NULL)
        return;
    kick.vcpu = vcpu;
    kick.ms = (DWORD)(us / 1000);
    kick.over = CreateEventA(NULL, TRUE, FALSE, NULL);
    kick.thread = CreateThread(NULL, 0, kick_later, NULL, 0, NULL);
}

uint64_t journey_now_us(void)
{
    LARGE_INTEGER hz, now;

    QueryPerformanceFrequency(&hz);
    QueryPerformanceCounter(&now);
    return (uint64_t)now.QuadPart / (uint64_t)hz.QuadPart * 1000000 +
           (uint64_t)now.QuadPart % (uint64_t)hz.QuadPart * 1000000 / (uint64_t)hz.QuadPart;
}

int main(int argc, char **argv)
{
    struct machine machines[2] = {{.name = "soft"}, {.name = "whpx"}};
    const struct journey_terms terms = {.rounds = 4000,
                                        .steps = 24,
                                        .features = RESUME_AVX | RESUME_REGS,
                                        .points = 3,
                                        .limit_us = 120000000};

    return journey_main(argc, argv, machines, &terms);
}
