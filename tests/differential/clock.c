/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * clock: a guest that reads the paravirtual clock is moved from KVM to the software CPU and back;
 * what it computes there is the clock, which has gone on from where it was.
 */
#include <stdio.h>
#include <stdlib.h>

#include "machine.h"

#define RAM       0x10000u
#define CODE      0x1000u
#define PAGE      0x3000u
#define MSR_TSC   0x10u
#define NS_PER_S  1000000000u
#define SLACK     100000000u /* of a host that is stopped between two looks */
#define SOME_TIME (9000ull * NS_PER_S)

/* In real mode: MSR 0x4b564d01 = 0x3001, then hlt for ever. */
static const uint8_t code[] = {0x66, 0xb9, 0x01, 0x4d, 0x56, 0x4b, 0x66, 0xb8, 0x01, 0x30,
                               0x00, 0x00, 0x66, 0x31, 0xd2, 0x0f, 0x30, 0xf4, 0xeb, 0xfd};

static const char *start(struct machine *machine)
{
    visor_x86_regs regs;
    visor_x86_sregs sregs;

    visor_x86_reset_regs(&regs);
    visor_x86_reset_sregs(&sregs);
    for (size_t i = 0; i < sizeof(code); i++)
        machine->ram[CODE + i] = code[i];
    regs.rip = CODE;
    sregs.cs.base = sregs.cs.selector = 0;
    if (visor_x86_set_sregs(machine->vcpu, &sregs) < 0 ||
        visor_x86_set_regs(machine->vcpu, &regs) < 0 ||
        visor_vm_set_clock(machine->vm, SOME_TIME) < 0)
        return machine_error("starting");
    return NULL;
}

static const char *run(struct machine *machine)
{
    int reason;

    do
        reason = visor_vcpu_run(machine->vcpu);
    while (reason == VISOR_EXIT_INTR);
    return reason == VISOR_EXIT_HLT ? NULL : "the guest does not come to its HLT";
}

/* What the guest would compute now. */
static int guest_ns(uint64_t *out, const struct machine *machine)
{
    const uint8_t *page = machine->ram + PAGE;
    int8_t shift = (int8_t)page[28];
    uint64_t ticks;
    int ret = visor_x86_get_msr(&ticks, machine->vcpu, MSR_TSC);

    ticks -= machine_get(page + 8, 8);
    ticks = shift >= 0 ? ticks << shift : ticks >> -shift;
    *out = machine_get(page + 16, 8) +
           (uint64_t)((unsigned __int128)ticks * machine_get(page + 24, 4) >> 32);
    return ret;
}

/* The page and the clock, which has to be `least` or more. */
static const char *look(uint64_t *clock, const struct machine *machine, uint64_t least)
{
    uint64_t seen;

    if (visor_vm_get_clock(clock, machine->vm) < 0 || guest_ns(&seen, machine) < 0)
        return machine_error("looking");
    printf("# %s: the clock says %llu ns, the guest computes %llu ns\n", machine->name,
           (unsigned long long)*clock, (unsigned long long)seen);
    if (seen + SLACK < *clock || seen > *clock + SLACK)
        return "the guest computes something else";
    if (*clock < least || *clock > least + 60ull * NS_PER_S)
        return "the clock has not gone on from where it was";
    return NULL;
}

static const char *move(struct machine *to, struct machine *from)
{
    struct buffer buffer = {0};
    const visor_stream stream = buffer_stream(&buffer);
    const char *error = start(from);
    uint64_t left, arrived;

    if (error == NULL)
        error = run(from);
    if (error == NULL)
        error = look(&left, from, SOME_TIME);
    if (error == NULL &&
        (visor_vm_save(from->vm, &stream, NULL) < 0 || visor_vm_restore(to->vm, &stream, NULL) < 0))
        error = machine_error("moving");
    if (error == NULL)
        error = run(to);
    if (error == NULL)
        error = look(&arrived, to, left);
    buffer_free(&buffer);
    return error;
}

int main(void)
{
    struct machine kvm = {0}, soft = {0};
    struct machine *const pairs[2][2] = {{&kvm, &soft}, {&soft, &kvm}};
    unsigned failed = 0;
    const char *error = machine_open(&kvm, "kvm");

    if (error == NULL)
        error = machine_open(&soft, "soft");
    printf("TAP version 13\n1..2\n");
    for (unsigned i = 0; i < 2; i++) {
        struct machine *from = pairs[i][0], *to = pairs[i][1];

        if (kvm.hv != NULL && soft.hv != NULL) {
            error = machine_create(from, to, RAM, NULL);
            if (error == NULL)
                error = machine_create(to, from, RAM, NULL);
            if (error == NULL)
                error = move(to, from);
            machine_free(from);
            machine_free(to);
        }
        printf("%sok %u - a guest's clock, from %s to %s\n", error != NULL ? "not " : "", i + 1,
               i == 0 ? "kvm" : "soft", i == 0 ? "soft" : "kvm");
        if (error != NULL)
            printf("#   %s\n", error);
        failed += error != NULL;
    }
    printf("# %u passed, %u failed, 0 skipped\n", 2 - failed, failed);
    machine_close(&kvm);
    machine_close(&soft);
    return failed != 0;
}
