/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A snapshot that is taken on the backend "whpx" in front of the double goes on on the software
 * CPU, and the other way round, and both end with the same result. The guest is that of
 * tests/differential/resume.c; it is stopped by a kick after a random time, and single steps.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include "differential/resume_guest.h"

#define ROUNDS     4000u
#define STEPS      24u
#define POINTS     3u
#define LIMIT_MS   120000u /* for a guest's whole run */
#define TRIES_MORE 20u     /* kicks that come too late, for a point */

enum { ENDED, STOPPED, FAILED };

static struct machine machines[2] = {{.name = "soft"}, {.name = "whpx"}};
static struct dice dice;

/* ---- stopping a vCPU after a time ---- */

struct kick {
    visor_vcpu *vcpu;
    DWORD ms;
    HANDLE over, thread;
};

static DWORD WINAPI kick_later(void *context)
{
    const struct kick *kick = context;

    if (WaitForSingleObject(kick->over, kick->ms) == WAIT_TIMEOUT)
        visor_vcpu_kick(kick->vcpu);
    return 0;
}

static void kick_begin(struct kick *kick, visor_vcpu *vcpu, DWORD ms)
{
    *kick = (struct kick){.vcpu = vcpu, .ms = ms, .over = CreateEventA(NULL, TRUE, FALSE, NULL)};
    kick->thread = CreateThread(NULL, 0, kick_later, kick, 0, NULL);
}

static void kick_end(struct kick *kick)
{
    SetEvent(kick->over);
    WaitForSingleObject(kick->thread, INFINITE);
    CloseHandle(kick->thread);
    CloseHandle(kick->over);
}

/* ---- runs ---- */

struct run {
    uint64_t result;
    unsigned halves, lowered;
};

/* Runs up to the end, to a kick, or to an exit that there should not be. */
static int run(struct machine *machine, struct run *run)
{
    const visor_io *io = &visor_vcpu_exit(machine->vcpu)->io;
    int reason;

    for (;;) {
        reason = visor_vcpu_run(machine->vcpu);
        if (reason == VISOR_EXIT_INTR)
            continue;
        if (reason == VISOR_EXIT_IO && io->is_write && io->address == RESUME_LOWER) {
            visor_vm_set_irq(machine->vm, RESUME_LINE, false);
            run->lowered++;
        } else if (reason == VISOR_EXIT_IO && io->is_write && io->address == RESUME_DONE) {
            run->result |= visor_io_value(io) << (32 * run->halves);
            if (++run->halves == 2)
                return ENDED;
        } else {
            break;
        }
    }
    return reason == VISOR_EXIT_KICKED || reason == VISOR_EXIT_DEBUG ? STOPPED : FAILED;
}

static const char *wrong_exit(const struct machine *machine)
{
    return visor_exit_name((int)visor_vcpu_exit(machine->vcpu)->reason);
}

static const char *finish(struct machine *machine, struct run *out)
{
    struct kick kick;
    int end;

    kick_begin(&kick, machine->vcpu, LIMIT_MS);
    end = run(machine, out);
    kick_end(&kick);
    return end == ENDED ? NULL : end == STOPPED ? "the guest does not end" : wrong_exit(machine);
}

/* Stops at a random instruction. ENDED: the kick came too late. */
static int stop(struct machine *machine, DWORD ms)
{
    visor_debug_config debug = VISOR_DEBUG_CONFIG_INIT;
    struct run ignored = {0};
    struct kick kick;
    int end;

    kick_begin(&kick, machine->vcpu, ms);
    end = run(machine, &ignored);
    kick_end(&kick);
    debug.single_step = true;
    if (end == STOPPED && visor_vcpu_set_debug(machine->vcpu, &debug) < 0)
        end = FAILED;
    for (unsigned steps = dice_below(&dice, STEPS); steps > 0 && end == STOPPED; steps--)
        end = run(machine, &ignored);
    if (visor_vcpu_set_debug(machine->vcpu, NULL) < 0)
        end = FAILED;
    return end == STOPPED && ignored.halves == 0 ? STOPPED : end == FAILED ? FAILED : ENDED;
}

/* ---- points ---- */

struct journey {
    struct machine *from, *to;
    struct buffer start; /* a snapshot of `from` before its first instruction */
    struct buffer middle;
    uint64_t result;
    DWORD ms; /* of a run that nobody stops */
    bool chips;
};

static const char *save(struct buffer *buffer, struct machine *machine)
{
    const visor_stream stream = buffer_stream(buffer);

    buffer->length = buffer->position = 0;
    return visor_vm_save(machine->vm, &stream, NULL) < 0 ? machine_error("saving") : NULL;
}

static const char *restore(struct machine *machine, struct buffer *buffer)
{
    const visor_stream stream = buffer_stream(buffer);

    buffer->position = 0;
    return visor_vm_restore(machine->vm, &stream, NULL) < 0 ? machine_error("restoring") : NULL;
}

static const char *check(const struct journey *journey, struct machine *machine, bool raised)
{
    static char text[160];
    struct run end = {0};
    const char *error = finish(machine, &end);

    if (error != NULL || (end.result == journey->result + raised && end.lowered == raised))
        return error;
    snprintf(text, sizeof(text),
             "%s ends with %016" PRIx64 " and %u interrupts of the line, should be %016" PRIx64
             " and %u",
             machine->name, end.result, end.lowered, journey->result + raised, raised);
    return text;
}

static const char *point(struct journey *journey)
{
    bool raised = journey->chips && dice_below(&dice, 2) == 1;
    const char *error = NULL;
    visor_x86_regs regs;
    int end = ENDED;

    for (unsigned tries = 0; error == NULL && end == ENDED; tries++) {
        if (tries > TRIES_MORE)
            return "no kick comes before the end";
        error = restore(journey->from, &journey->start);
        if (error == NULL)
            end = stop(journey->from, dice_below(&dice, journey->ms + 1));
        if (end == FAILED)
            error = wrong_exit(journey->from);
        else if (end == ENDED) /* the machine was busier when the time was taken */
            journey->ms -= (journey->ms + 3) / 4;
    }
    journey->ms += journey->ms / 8 + 1;
    if (error == NULL && visor_x86_get_regs(&regs, journey->from->vcpu) < 0)
        error = machine_error("registers");
    raised = raised && error == NULL && !resume_guest_is_over(regs.rip);
    if (error == NULL && raised && visor_vm_set_irq(journey->from->vm, RESUME_LINE, true) < 0)
        error = machine_error("raising the line");
    if (error == NULL)
        error = save(&journey->middle, journey->from);
    if (error == NULL)
        error = restore(journey->to, &journey->middle);
    if (error == NULL)
        error = check(journey, journey->to, raised);
    /* To have been saved does no harm. */
    if (error == NULL)
        error = check(journey, journey->from, raised);
    return error;
}

/* The journey's start; the result of a whole run, which has to be the same on both. */
static const char *depart(struct journey *journey, uint64_t seed)
{
    visor_vm_config config = VISOR_VM_CONFIG_INIT;
    struct run first = {0}, second = {0};
    const unsigned features = RESUME_AVX | RESUME_REGS | (journey->chips ? RESUME_CHIPS : 0);
    const char *error;

    config.irqchip = journey->chips ? VISOR_IRQCHIP_KERNEL : VISOR_IRQCHIP_NONE;
    error = machine_create(journey->from, journey->to, RESUME_RAM, &config);
    if (error == NULL)
        error = machine_create(journey->to, journey->from, RESUME_RAM, &config);
    if (error == NULL)
        error = resume_guest_start(journey->from, seed, ROUNDS, features);
    if (error == NULL)
        error = save(&journey->start, journey->from);
    if (error == NULL)
        error = restore(journey->to, &journey->start);
    if (error == NULL)
        error = finish(journey->to, &first);
    journey->ms = GetTickCount();
    if (error == NULL)
        error = finish(journey->from, &second);
    journey->ms = GetTickCount() - journey->ms;
    journey->result = first.result;
    return error == NULL && first.result != second.result ? "they compute different results"
                                                          : error;
}

static bool travel(unsigned number, unsigned from, bool chips, unsigned points)
{
    struct journey journey = {.from = &machines[from], .to = &machines[1 - from], .chips = chips};
    const char *error = depart(&journey, dice_roll(&dice));
    unsigned done = 0;

    while (error == NULL && done < points) {
        error = point(&journey);
        done += error == NULL;
    }
    if (error != NULL)
        printf("# point %u: %s\n", done + 1, error);
    printf("%sok %u - from %s to %s%s: %u points, %u ms for a run\n", error == NULL ? "" : "not ",
           number, journey.from->name, journey.to->name, chips ? ", with interrupt chips" : "",
           done, (unsigned)journey.ms);
    fflush(stdout);
    machine_free(journey.from);
    machine_free(journey.to);
    free(journey.start.bytes);
    free(journey.middle.bytes);
    return error == NULL;
}

int main(int argc, char **argv)
{
    uint64_t seed = GetTickCount64();
    unsigned points = POINTS;
    const char *error;
    bool ok = true;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 0);
        else if (strcmp(argv[i], "--points") == 0)
            points = (unsigned)strtoul(argv[i + 1], NULL, 0);
    }
    dice.state = seed;
    printf("1..4\n# --seed %" PRIu64 " --points %u\n", seed, points);
    error = machine_open(&machines[0], "soft");
    if (error == NULL)
        error = machine_open(&machines[1], "whpx");
    if (error != NULL) {
        printf("Bail out! %s\n", error);
        return 1;
    }
    for (unsigned i = 0; i < 4; i++)
        ok &= travel(i + 1, i & 1, i >= 2, points);
    machine_close(&machines[0]);
    machine_close(&machines[1]);
    return !ok;
}
