/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * resume [--with HYPERVISOR] [--seed N] [--points N]: a snapshot that is taken at a random
 * instruction resumes on another hypervisor, the software CPU or KVM, and ends with the same
 * result. The guest is stopped by a kick after a random time, and a random number of single steps;
 * what it computes is in resume_guest.h.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "resume_guest.h"

#define ROUNDS     400u
#define STEPS      64u
#define LIMIT_US   60000000u /* for a guest's whole run */
#define TRIES_MORE 20u       /* kicks that come too late, for a point */
#define SECTION    32u       /* bytes of a snapshot's section before what is in it */
#define PAUSE_US   4000u     /* the guest's PIT comes every 3333 */

enum { ENDED, STOPPED, FAILED };

static struct machine machines[2] = {{.name = "kvm"}, {.name = "soft"}};
static struct dice dice;
static unsigned cases;

/* ---- stopping a vCPU after a time ---- */

static visor_vcpu *volatile victim;

static void on_alarm(int number)
{
    (void)number;
    if (victim != NULL)
        visor_vcpu_kick(victim);
}

static void kick_after(visor_vcpu *vcpu, uint64_t us)
{
    const struct itimerval when = {
        .it_value = {.tv_sec = (time_t)(us / 1000000), .tv_usec = (suseconds_t)(us % 1000000)}};

    victim = vcpu;
    setitimer(ITIMER_REAL, &when, NULL);
}

static uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
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

static const char *finish(struct machine *machine, struct run *out)
{
    int end;

    kick_after(machine->vcpu, LIMIT_US);
    end = run(machine, out);
    kick_after(NULL, 0);
    if (end == ENDED)
        return NULL;
    if (end == STOPPED)
        return "the guest does not end";
    return visor_exit_name((int)visor_vcpu_exit(machine->vcpu)->reason);
}

/* Stops at a random instruction. ENDED: the kick came too late. */
static int stop(struct machine *machine, uint64_t us)
{
    visor_debug_config debug = VISOR_DEBUG_CONFIG_INIT;
    struct run ignored = {0};
    int end;

    kick_after(machine->vcpu, us + 1);
    end = run(machine, &ignored);
    kick_after(NULL, 0);
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
    uint64_t result, us; /* of a run that nobody stops */
    bool chips;
};

/*
 * A stream that waits before each section for longer than the guest's timers do, so that they come
 * between any two pieces of state.
 */
static int slow_write(void *context, const void *data, size_t length)
{
    if (length == SECTION)
        usleep(PAUSE_US);
    return buffer_stream(context).write(context, data, length);
}

static int slow_read(void *context, void *data, size_t length)
{
    if (length == SECTION)
        usleep(PAUSE_US);
    return buffer_stream(context).read(context, data, length);
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

static const char *check(const struct journey *journey, struct machine *machine, bool raised)
{
    static char text[160];
    struct run end = {0};
    const char *error = finish(machine, &end);

    if (error != NULL || (end.result == journey->result + raised && end.lowered == raised))
        return error;
    snprintf(text, sizeof(text),
             "%s ends with %016" PRIx64 " and %u interrupts of the line, "
             "should be %016" PRIx64 " and %u",
             machine->name, end.result, end.lowered, journey->result + raised, raised);
    return text;
}

static const char *point(struct journey *journey)
{
    bool raised = journey->chips && dice_below(&dice, 2) == 1;
    bool slow_out = journey->chips && dice_below(&dice, 4) == 1;
    bool slow_in = journey->chips && dice_below(&dice, 4) == 1;
    const char *error = NULL;
    visor_x86_regs regs;
    int end = ENDED;

    for (unsigned tries = 0; error == NULL && end == ENDED; tries++) {
        uint64_t began;

        if (tries > TRIES_MORE)
            return "no kick comes before the end";
        error = restore(journey->from, &journey->start, false);
        began = now_us();
        if (error == NULL)
            end = stop(journey->from, dice_roll(&dice) % journey->us);
        /* The host was busier when the run was measured. */
        if (end == ENDED && now_us() - began < journey->us)
            journey->us = now_us() - began + 1;
        if (end == FAILED)
            error = visor_exit_name((int)visor_vcpu_exit(journey->from->vcpu)->reason);
        else if (end == ENDED) /* the machine was slower when the time was taken */
            journey->us -= journey->us / 16;
    }
    if (error == NULL && raised && visor_x86_get_regs(&regs, journey->from->vcpu) < 0)
        error = machine_error("registers");
    journey->us += journey->us / 64 + 1;
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
    const unsigned kvm = strcmp(both[0]->name, "soft") == 0;

    debug.single_step = true;
    for (unsigned i = 0; i < 2; i++) {
        if (restore(both[i], &journey->start, false) != NULL ||
            visor_vcpu_set_debug(both[i]->vcpu, &debug) < 0)
            return machine_error("stepping");
    }
    do {
        before = regs[kvm];
        do {
            if (!step(&regs[kvm], both[kvm]))
                return "they compute another result, but not in single steps";
        } while (regs[kvm].rip == before.rip);
        for (unsigned steps = 0; steps < 2000 && regs[!kvm].rip != regs[kvm].rip; steps++) {
            if (!step(&regs[!kvm], both[!kvm]))
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

/* HAXM lets nobody save what XSAVE keeps, has no CR8, and no debug registers while it steps. */
static bool has_haxm(void)
{
    return strcmp(machines[0].name, "haxm") == 0;
}

/* The journey's start; the result of a whole run, which has to be the same on both. */
static const char *depart(struct journey *journey, uint64_t seed)
{
    visor_vm_config config = VISOR_VM_CONFIG_INIT;
    struct run first = {0}, second = {0};
    unsigned features = has_haxm() ? 0 : RESUME_AVX | RESUME_REGS;
    const char *error;

    config.irqchip = journey->chips ? VISOR_IRQCHIP_KERNEL : VISOR_IRQCHIP_NONE;
    features |= journey->chips ? RESUME_CHIPS : 0;
    error = machine_create(journey->from, journey->to, RESUME_RAM, &config);
    if (error == NULL)
        error = machine_create(journey->to, journey->from, RESUME_RAM, &config);
    if (error == NULL)
        error = resume_guest_start(journey->from, seed, ROUNDS, features);
    if (error == NULL)
        error = save(&journey->start, journey->from, false);
    if (error == NULL)
        error = restore(journey->to, &journey->start, false);
    if (error == NULL)
        error = finish(journey->to, &first);
    journey->us = now_us();
    if (error == NULL)
        error = finish(journey->from, &second);
    journey->us = now_us() - journey->us;
    journey->result = first.result;
    if (error == NULL && first.result != second.result)
        error = compare(journey);
    return error;
}

static bool travel(unsigned from, bool chips, unsigned points)
{
    struct journey journey = {.from = &machines[from], .to = &machines[1 - from], .chips = chips};
    uint64_t seed = dice_roll(&dice);
    const char *error = depart(&journey, seed);
    unsigned done = 0;

    while (error == NULL && done < points) {
        error = point(&journey);
        done += error == NULL;
    }
    if (error != NULL)
        printf("# point %u: %s\n", done + 1, error);
    printf("%sok %u - from %s to %s%s: %u points, %u ms for a run\n", error == NULL ? "" : "not ",
           ++cases, journey.from->name, journey.to->name, chips ? ", with interrupt chips" : "",
           done, (unsigned)(journey.us / 1000));
    fflush(stdout);
    machine_free(journey.from);
    machine_free(journey.to);
    free(journey.start.bytes);
    free(journey.middle.bytes);
    return error == NULL;
}

int main(int argc, char **argv)
{
    const struct sigaction action = {.sa_handler = on_alarm};
    uint64_t seed = now_us();
    unsigned points = 20;
    const char *error;
    bool ok = true;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 0);
        else if (strcmp(argv[i], "--points") == 0)
            points = (unsigned)strtoul(argv[i + 1], NULL, 0);
        else if (strcmp(argv[i], "--with") == 0)
            machines[0].name = argv[i + 1];
    }
    dice.state = seed;
    printf("1..4\n# --seed %" PRIu64 " --points %u\n", seed, points);
    sigaction(SIGALRM, &action, NULL);
    error = machine_open(&machines[0], machines[0].name);
    if (error == NULL)
        error = machine_open(&machines[1], "soft");
    if (error != NULL) {
        printf("Bail out! %s\n", error);
        return 1;
    }
    for (unsigned i = 0; i < 4; i++)
        ok &= travel(i & 1, i >= 2, points);
    machine_close(&machines[0]);
    machine_close(&machines[1]);
    return !ok;
}
