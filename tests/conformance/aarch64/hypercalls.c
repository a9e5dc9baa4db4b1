/* SPDX-License-Identifier: BSD-3-Clause */
/* AArch64: hypercalls (SMCCC, Arm DEN 0028) that the VMM answers. */
#include "arm.h"

#define DONE  "movz x9, #0xbf00, lsl #16; str x3, [x9];"
#define AGAIN "2: b 2b;"

/* The functions of the TRNG firmware interface (Arm DEN 0098), which KVM may serve itself. */
#define TRNG_FIRST 0x84000050u
/* Vendor specific and device functions: nobody in the kernel answers them. */
#define OWN_FIRST     0xc600003cu
#define NOT_SUPPORTED ((uint64_t)-1)

/* Result: x0; x1 to x3 go to x4 to x6. */
VISOR_GUEST_ASM(call, "hvc #0; mov x4, x1; mov x5, x2; mov x6, x3; mov x3, x0;" DONE AGAIN);

static const struct arm_setup own_call = {
    .code = &call, .x = {OWN_FIRST, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77}};

static void start(struct guest *g)
{
    arm_start(g, &own_call, NULL, NULL);
}

static void enable(struct guest *g, uint32_t first, uint32_t count)
{
    if (visor_vm_cap(g->vm, VISOR_CAP_HYPERCALLS) <= 0) {
        CHECK_ERROR(visor_vm_enable_hypercalls(g->vm, first, count), EUNSUPPORTED);
        CHECK(visor_error_last()->detail[0] != '\0');
    }
    NEED(g, HYPERCALLS);
    CHECK_OK(visor_vm_enable_hypercalls(g->vm, first, count));
}

CASE(hypercalls, answered, "an enabled hypercall exits with its arguments; the answers arrive")
{
    visor_aarch64_regs regs;
    visor_exit *exit;

    start(g);
    enable(g, OWN_FIRST, 1);
    exit = RUN_TO(g, HYPERCALL);
    CHECK_EQ(exit->hypercall.number, OWN_FIRST);
    for (unsigned i = 0; i < 7; i++)
        CHECK_EQ(exit->hypercall.args[i], 0x11 * (i + 1));
    CHECK_EQ(exit->hypercall.result_count, 4);
    for (unsigned i = 0; i < 4; i++)
        exit->hypercall.results[i] = 0x1234567887654321u + i;
    CHECK_EQ(GUEST_FINISH(g), 0x1234567887654321u);
    regs = arm_regs(g->vcpu);
    CHECK_EQ(regs.x[4], 0x1234567887654322u);
    CHECK_EQ(regs.x[5], 0x1234567887654323u);
    CHECK_EQ(regs.x[6], 0x1234567887654324u);
}

CASE(hypercalls, unanswered, "one that nobody answers gets the ABI's \"not supported\"")
{
    start(g);
    enable(g, OWN_FIRST, 1);
    RUN_TO(g, HYPERCALL);
    CHECK_EQ(GUEST_FINISH(g), NOT_SUPPORTED);
}

CASE(hypercalls, not_enabled, "one that is not enabled does not exit")
{
    start(g);
    CHECK_EQ(GUEST_FINISH(g), NOT_SUPPORTED);
}

CASE(hypercalls, range, "a range ends where it was said to end")
{
    start(g);
    enable(g, OWN_FIRST - 4, 4);
    CHECK_EQ(GUEST_FINISH(g), NOT_SUPPORTED);
    arm_restart(g, g->vcpu, &(struct arm_setup){.code = &call, .x = {OWN_FIRST - 1}});
    CHECK_EQ(RUN_TO(g, HYPERCALL)->hypercall.number, OWN_FIRST - 1);
    arm_restart(g, g->vcpu, &(struct arm_setup){.code = &call, .x = {OWN_FIRST - 4}});
    CHECK_EQ(RUN_TO(g, HYPERCALL)->hypercall.number, OWN_FIRST - 4);
    arm_restart(g, g->vcpu, &(struct arm_setup){.code = &call, .x = {OWN_FIRST - 5}});
    CHECK_EQ(GUEST_FINISH(g), NOT_SUPPORTED);
}

CASE(hypercalls, kernels_own, "a function that the kernel serves can be taken over")
{
    visor_exit *exit;

    arm_start(g, &(struct arm_setup){.code = &call, .x = {TRNG_FIRST}}, NULL, NULL);
    enable(g, TRNG_FIRST, 16);
    exit = RUN_TO(g, HYPERCALL);
    CHECK_EQ(exit->hypercall.number, TRNG_FIRST);
    exit->hypercall.results[0] = 0x10000; /* version 1.0 */
    CHECK_EQ(GUEST_FINISH(g), 0x10000);
}

CASE(hypercalls, refused, "ranges that cannot be are refused")
{
    start(g);
    NEED(g, HYPERCALLS);
    CHECK(visor_vm_enable_hypercalls(g->vm, OWN_FIRST, 0) < 0);
    CHECK(visor_vm_enable_hypercalls(g->vm, UINT32_MAX, 2) < 0);
    CHECK_OK(visor_vm_enable_hypercalls(g->vm, OWN_FIRST, 4));
    CHECK_EQ(RUN_TO(g, HYPERCALL)->hypercall.number, OWN_FIRST);
}
