/* SPDX-License-Identifier: BSD-3-Clause */
#include "journey.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TRIES_MORE 20u   /* kicks that come too late, for a point */
#define SECTION    32u   /* bytes of a snapshot's section before what is in it */
#define PAUSE_US   4000u /* the guest's PIT comes every 3333 */

enum { ENDED, STOPPED, FAILED };

struct journey {
    struct machine *from, *to;
    const struct journey_terms *terms;
    struct dice *dice;
    struct buffer start; /* a snapshot of `from` before its first instruction */
    struct buffer middle;
    uint64_t result, us; /* of a run that nobody stops */
    bool chips;
};

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
        if (reason == VISOR_EXIT_INTR || reason == VISOR_EXIT_SET_TPR)
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

static const char *finish(const struct journey *journey, struct machine *machine, struct run *out)
{
    int end;

    journey_kick_after(machine->vcpu, journey->terms->limit_us);
    end = run(machine, out);
    journey_kick_after(NULL, 0);
    return end == ENDED ? NULL : end == STOPPED ? "the guest does not end" : wrong_exit(machine);
}

/* Stops at a random instruction. ENDED: the kick came too late. */
static int stop(const struct journey *journey, uint64_t us)
{
    visor_vcpu *vcpu = journey->from->vcpu;
    visor_debug_config debug = VISOR_DEBUG_CONFIG_INIT;
    struct run ignored = {0};
    int end;

    journey_kick_after(vcpu, us + 1);
    end = run(journey->from, &ignored);
    journey_kick_after(NULL, 0);
    debug.single_step = true;
    if (end == STOPPED && visor_vcpu_set_debug(vcpu, &debug) < 0)
        end = FAILED;
    for (unsigned steps = dice_below(journey->dice, journey->terms->steps);
         steps > 0 && end == STOPPED; steps--)
        end = run(journey->from, &ignored);
    if (visor_vcpu_set_debug(vcpu, NULL) < 0)
        end = FAILED;
    return end == STOPPED && ignored.halves == 0 ? STOPPED : end == FAILED ? FAILED : ENDED;
}

/* ---- snapshots ---- */

/*
 * A stream that waits before each section for longer than the guest's timers do, so that they come
 * between any two pieces of state.
 */
static int slow_write(void *context, const void *data, size_t length)
{
    if (length == SECTION)
        usleep(PAUSE_US);
    return buffer_write(context, data, length);
}

static int slow_read(void *context, void *data, size_t length)
{
    if (length == SECTION)
        usleep(PAUSE_US);
    return buffer_read(context, data, length);
}

static visor_stream stream_of(struct buffer *buffer, bool is_slow)
{
    return is_slow ? (visor_stream){.context = buffer, .write = slow_write, .read = slow_read}
                   : buffer_stream(buffer);
}

static const char *save(struct buffer *buffer, struct machine *machine, bool is_slow)
{
    const visor_stream stream = stream_of(buffer, is_slow);

    buffer->length = buffer->position = 0;
    return visor_vm_save(machine->vm, &stream, NULL) < 0 ? machine_error("saving") : NULL;
}

static const char *restore(struct machine *machine, struct buffer *buffer, bool is_slow)
{
    const visor_stream stream = stream_of(buffer, is_slow);

    buffer->position = 0;
    return visor_vm_restore(machine->vm, &stream, NULL) < 0 ? machine_error("restoring") : NULL;
}

/* ---- points ---- */

static const char *check(const struct journey *journey, struct machine *machine, bool raised)
{
    static char text[160];
    struct run end = {0};
    const char *error = finish(journey, machine, &end);

    if (error != NULL || (end.result == journey->result + raised && end.lowered == raised))
        return error;
    snprintf(text, sizeof(text),
             "%s ends with %016" PRIx64 " and %u interrupts of the line, "
             "should be %016" PRIx64 " and %u",
             machine->name, end.result, end.lowered, journey->result + raised, raised);
    return text;
}

static bool comes_slowly(const struct journey *journey)
{
    return journey->chips && journey->terms->slow && dice_below(journey->dice, 4) == 1;
}

/* Leaves `from` at a random instruction. */
static const char *get_there(struct journey *journey)
{
    for (unsigned tries = 0; tries <= TRIES_MORE; tries++) {
        const char *error = restore(journey->from, &journey->start, false);
        uint64_t took = journey_now_us();
        int end;

        if (error != NULL)
            return error;
        end = stop(journey, dice_roll(journey->dice) % journey->us);
        if (end == STOPPED)
            return NULL;
        if (end == FAILED)
            return wrong_exit(journey->from);
        /* The host was busier when the run was measured, or kicks take their time. */
        took = journey_now_us() - took;
        journey->us = took < journey->us ? took + 1 : journey->us;
        journey->us -= journey->us / 16;
    }
    return "no kick comes before the end";
}

static const char *point(struct journey *journey)
{
    bool raised = journey->chips && dice_below(journey->dice, 2) == 1;
    bool slow_out = comes_slowly(journey), slow_in = comes_slowly(journey);
    const char *error = get_there(journey);
    visor_x86_regs regs;

    journey->us += journey->us / 64 + 1; /* or less busy */
    if (error == NULL && visor_x86_get_regs(&regs, journey->from->vcpu) < 0)
        error = machine_error("registers");
    raised = raised && error == NULL && !resume_guest_is_over(regs.rip);
    if (error == NULL && raised && visor_vm_set_irq(journey->from->vm, RESUME_LINE, true) < 0)
        error = machine_error("raising the line");
    if (error == NULL)
        error = save(&journey->middle, journey->from, slow_out);
    if (error == NULL)
        error = restore(journey->to, &journey->middle, slow_in);
    if (error == NULL)
        error = check(journey, journey->to, raised);
    /* To have been saved does no harm. */
    return error == NULL ? check(journey, journey->from, raised) : error;
}

/* ---- where two that compute different things part ---- */

static void print_line(void *context, const char *line)
{
    if (strncmp(line, "regs", 4) == 0)
        printf("# %s: %s\n", (const char *)context, line);
}

/* One step, to outside of handlers. False: that is the end. */
static bool step(visor_x86_regs *out, struct machine *machine)
{
    struct run ignored = {0};

    do {
        if (run(machine, &ignored) != STOPPED || visor_x86_get_regs(out, machine->vcpu) < 0)
            return false;
    } while (resume_guest_handles(out->rip));
    return true;
}

/*
 * Steps both from the start until they differ. A step of KVM is sometimes several: exceptions,
 * what its emulator does; and one of a repeated instruction is one time.
 */
static const char *compare(struct journey *journey)
{
    static char text[200];
    struct machine *both[] = {journey->from, journey->to};
    visor_debug_config debug = VISOR_DEBUG_CONFIG_INIT;
    visor_x86_regs regs[2] = {{0}}, before;
    const unsigned other = strcmp(both[0]->name, "soft") == 0;

    debug.single_step = true;
    for (unsigned i = 0; i < 2; i++) {
        if (restore(both[i], &journey->start, false) != NULL ||
            visor_vcpu_set_debug(both[i]->vcpu, &debug) < 0)
            return machine_error("stepping");
    }
    do {
        before = regs[other];
        do {
            if (!step(&regs[other], both[other]))
                return "they compute another result, but not in single steps";
        } while (regs[other].rip == before.rip);
        for (unsigned steps = 0; steps < 2000 && regs[!other].rip != regs[other].rip; steps++) {
            if (!step(&regs[!other], both[!other]))
                break;
        }
        regs[1].r11 = regs[0].r11;
    } while (memcmp(&regs[0], &regs[1], 17 * 8) == 0);
    snprintf(text, sizeof(text),
             "from the start on, the instruction at 0x%" PRIx64 " has another effect", before.rip);
    visor_vcpu_dump(both[0]->vcpu, print_line, (void *)both[0]->name);
    visor_vcpu_dump(both[1]->vcpu, print_line, (void *)both[1]->name);
    return text;
}

/* ---- journeys ---- */

/* The journey's start; the result of a whole run, which has to be the same on both. */
static const char *depart(struct journey *journey)
{
    visor_vm_config config = VISOR_VM_CONFIG_INIT;
    const unsigned features = journey->terms->features | (journey->chips ? RESUME_CHIPS : 0);
    struct run first = {0}, second = {0};
    uint64_t seed = dice_roll(journey->dice);
    const char *error;

    config.irqchip = journey->chips ? VISOR_IRQCHIP_KERNEL : VISOR_IRQCHIP_NONE;
    error = machine_create(journey->from, journey->to, RESUME_RAM, &config);
    if (error == NULL)
        error = machine_create(journey->to, journey->from, RESUME_RAM, &config);
    if (error == NULL)
        error = resume_guest_start(journey->from, seed, journey->terms->rounds, features);
    if (error == NULL)
        error = save(&journey->start, journey->from, false);
    if (error == NULL)
        error = restore(journey->to, &journey->start, false);
    if (error == NULL)
        error = finish(journey, journey->to, &first);
    journey->us = journey_now_us();
    if (error == NULL)
        error = finish(journey, journey->from, &second);
    journey->us = journey_now_us() - journey->us + 1;
    journey->result = first.result;
    if (error == NULL && first.result != second.result)
        error = compare(journey);
    return error;
}

static bool travel(struct journey *journey, unsigned number, unsigned points)
{
    const char *error = depart(journey);
    unsigned done = 0;

    while (error == NULL && done < points) {
        error = point(journey);
        done += error == NULL;
    }
    if (error != NULL)
        printf("# point %u: %s\n", done + 1, error);
    printf("%sok %u - from %s to %s%s: %u points, %u ms for a run\n", error == NULL ? "" : "not ",
           number, journey->from->name, journey->to->name,
           journey->chips ? ", with interrupt chips" : "", done, (unsigned)(journey->us / 1000));
    fflush(stdout);
    machine_free(journey->from);
    machine_free(journey->to);
    buffer_free(&journey->start);
    buffer_free(&journey->middle);
    return error == NULL;
}

int journey_main(int argc, char **argv, struct machine machines[2],
                 const struct journey_terms *terms)
{
    struct dice dice = {.state = journey_now_us()};
    unsigned points = terms->points;
    const char *error;
    bool ok = true;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0)
            dice.state = strtoull(argv[i + 1], NULL, 0);
        else if (strcmp(argv[i], "--points") == 0)
            points = (unsigned)strtoul(argv[i + 1], NULL, 0);
    }
    printf("1..4\n# --seed %" PRIu64 " --points %u\n", dice.state, points);
    error = machine_open(&machines[0], machines[0].name);
    if (error == NULL)
        error = machine_open(&machines[1], machines[1].name);
    if (error != NULL) {
        printf("Bail out! %s\n", error);
        return 1;
    }
    for (unsigned i = 0; i < 4; i++) {
        struct journey journey = {.from = &machines[i & 1],
                                  .to = &machines[1 - (i & 1)],
                                  .terms = terms,
                                  .dice = &dice,
                                  .chips = i >= 2};

        ok &= travel(&journey, i + 1, points);
    }
    machine_close(&machines[0]);
    machine_close(&machines[1]);
    return !ok;
}
