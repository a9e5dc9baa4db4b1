/* SPDX-License-Identifier: BSD-3-Clause */
/* AArch64: PSCI (Arm DEN 0022), which the hypervisor serves for the guest. */
#include <pthread.h>

#include "arm.h"

#define DONE  "movz x9, #0xbf00, lsl #16; str x3, [x9];"
#define AGAIN "2: b 2b;"

#define PSCI_VERSION       0x84000000u
#define PSCI_CPU_SUSPEND   0xc4000001u
#define PSCI_CPU_OFF       0x84000002u
#define PSCI_CPU_ON        0xc4000003u
#define PSCI_AFFINITY_INFO 0xc4000004u
#define PSCI_SYSTEM_OFF    0x84000008u
#define PSCI_SYSTEM_RESET  0x84000009u
#define PSCI_FEATURES      0x8400000au
#define PSCI_SYSTEM_RESET2 0xc4000012u
#define PSCI_NOT_SUPPORTED ((uint64_t)-1)
#define PSCI_INVALID       ((uint64_t)-2)
#define PSCI_ALREADY_ON    ((uint64_t)-4)

/* Result: what the call returns in x0. */
VISOR_GUEST_ASM(call, "hvc #0; mov x3, x0;" DONE AGAIN);

static void start_call(struct guest *g, uint64_t function, uint64_t a1, uint64_t a2, uint64_t a3)
{
    arm_start(g, &(struct arm_setup){.code = &call, .x = {function, a1, a2, a3}}, NULL, NULL);
}

static uint64_t next_call(struct guest *g, uint64_t function, uint64_t a1, uint64_t a2, uint64_t a3)
{
    arm_restart(g, g->vcpu, &(struct arm_setup){.code = &call, .x = {function, a1, a2, a3}});
    return GUEST_FINISH(g);
}

CASE(psci, version, "the guest is told the version that the VMM reads")
{
    uint64_t version;

    start_call(g, PSCI_VERSION, 0, 0, 0);
    version = GUEST_FINISH(g);
    note("PSCI %u.%u", (unsigned)(version >> 16), (unsigned)(version & 0xffff));
    CHECK(version >= 2 && version < 0x80000000u);
    CHECK_EQ(arm_reg(g->vcpu, VISOR_AARCH64_PSCI_VERSION), version);
}

CASE(psci, features, "functions that are there and such that are not")
{
    start_call(g, PSCI_FEATURES, PSCI_SYSTEM_OFF, 0, 0);
    CHECK_EQ(GUEST_FINISH(g), 0);
    CHECK_EQ(next_call(g, 0x84000fffu, 0, 0, 0), PSCI_NOT_SUPPORTED);
}

CASE(psci, older_version, "the VMM can have the guest told an older version")
{
    start_call(g, PSCI_VERSION, 0, 0, 0);
    arm_set_reg(g->vcpu, VISOR_AARCH64_PSCI_VERSION, 2);
    CHECK_EQ(GUEST_FINISH(g), 2);
    CHECK_EQ(next_call(g, PSCI_FEATURES, PSCI_SYSTEM_OFF, 0, 0), PSCI_NOT_SUPPORTED); /* 1.0's */
    CHECK_ERROR(visor_aarch64_set_reg(g->vcpu, VISOR_AARCH64_PSCI_VERSION, 0x7fff0000u), EREFUSED);
}

CASE(psci, system_off, "SYSTEM_OFF is a system event, and comes back when run again")
{
    const visor_exit *exit;

    start_call(g, PSCI_SYSTEM_OFF, 0, 0, 0);
    exit = RUN_TO(g, SYSTEM_EVENT);
    CHECK_EQ(exit->system.type, VISOR_SYSTEM_SHUTDOWN);
}

CASE(psci, system_reset, "SYSTEM_RESET is a system event with its own type")
{
    const visor_exit *exit;

    start_call(g, PSCI_SYSTEM_RESET, 0, 0, 0);
    exit = RUN_TO(g, SYSTEM_EVENT);
    CHECK_EQ(exit->system.type, VISOR_SYSTEM_RESET);
    if (exit->system.data_count > 0)
        CHECK_EQ(exit->system.data[0], 0); /* not RESET2 */
}

CASE(psci, system_reset2, "SYSTEM_RESET2 says so in the event's flags")
{
    const visor_exit *exit;

    start_call(g, PSCI_FEATURES, PSCI_SYSTEM_RESET2, 0, 0);
    if (GUEST_FINISH(g) == PSCI_NOT_SUPPORTED)
        SKIP("this kernel's PSCI has no SYSTEM_RESET2");
    arm_restart(g, g->vcpu,
                &(struct arm_setup){.code = &call, .x = {PSCI_SYSTEM_RESET2, 0x80000000u, 0x1234}});
    exit = RUN_TO(g, SYSTEM_EVENT);
    CHECK_EQ(exit->system.type, VISOR_SYSTEM_RESET);
    CHECK(exit->system.data_count >= 1);
    CHECK_EQ(exit->system.data[0], 1); /* KVM_SYSTEM_EVENT_RESET_FLAG_PSCI_RESET2 */
}

CASE(psci, run_after_reset, "a vCPU that asked for a reset can be reset and run")
{
    start_call(g, PSCI_SYSTEM_RESET, 0, 0, 0);
    RUN_TO(g, SYSTEM_EVENT);
    CHECK_OK(visor_vcpu_reset(g->vcpu));
    CHECK_EQ(arm_regs(g->vcpu).pstate & 0xf, ARM_PSTATE_EL1H);
    CHECK_EQ(arm_reg(g->vcpu, ARM_SCTLR_EL1) & 1, 0);
    guest_arch_vcpu(g, g->vcpu);
    CHECK_EQ(next_call(g, PSCI_VERSION, 0, 0, 0), arm_reg(g->vcpu, VISOR_AARCH64_PSCI_VERSION));
}

CASE(psci, cpu_suspend, "CPU_SUSPEND waits, and returns success when woken")
{
    visor_vm_config config = VISOR_VM_CONFIG_INIT;

    config.irqchip = VISOR_IRQCHIP_KERNEL;
    NEED(g, IRQCHIP);
    arm_start(g, &(struct arm_setup){.code = &call, .x = {PSCI_CPU_SUSPEND, 0, 0, 0}}, &config,
              NULL);
    kick_later(g->vcpu, 50);
    RUN_TO(g, KICKED); /* it is the host's thread that wakes */
    CHECK_EQ(GUEST_FINISH(g), 0);
}

/* ---- a second vCPU: 0 starts it at x2 with x3 as context ---- */

/* MMU off: only the code and the registers. x0 is the context. */
VISOR_GUEST_ASM(second_says, "1: movz x9, #0xbf00, lsl #16; str x0, [x9]; add x0, x0, #1; b 1b");
VISOR_GUEST_ASM(second_ends, "movz x9, #0xbf00, lsl #16; str x0, [x9];"
                             "movz x0, #0x8400, lsl #16; movk x0, #2; hvc #0;" AGAIN);
#define SECOND_CODE (guest_code + 0x4000)

struct second {
    visor_vcpu *vcpu;
    uint64_t writes[64];
    unsigned count;
    int last;
};

/* Runs the second vCPU until it is kicked. */
static void *run_second(void *argument)
{
    struct second *second = argument;

    do {
        second->last = visor_vcpu_run(second->vcpu);
        if (second->last == VISOR_EXIT_MMIO && second->count < 64) {
            second->writes[second->count++] = visor_io_value(&visor_vcpu_exit(second->vcpu)->io);
            if (second->count == 3)
                return NULL;
        }
    } while (second->last == VISOR_EXIT_MMIO || second->last == VISOR_EXIT_INTR);
    return NULL;
}

/* Where it can be read. */
static void check_mp_state(visor_vcpu *vcpu, visor_mp_state expected)
{
    visor_mp_state state;

    if (visor_vm_cap(visor_vcpu_vm(vcpu), VISOR_CAP_MP_STATE) <= 0) {
        CHECK_ERROR(visor_vcpu_get_mp_state(&state, vcpu), EUNSUPPORTED);
        return;
    }
    CHECK_OK(visor_vcpu_get_mp_state(&state, vcpu));
    CHECK_EQ(state, expected);
}

static void start_two(struct guest *g, struct second *second, const struct code *code)
{
    visor_vm_config config = VISOR_VM_CONFIG_INIT;

    config.irqchip = VISOR_IRQCHIP_KERNEL;
    NEED(g, IRQCHIP);
    guest_create(g, &config);
    guest_add_vcpu(g, 0);
    CHECK_OK(visor_vcpu_create(&second->vcpu, g->vm, 1));
    guest_put_code(g, SECOND_CODE, code);
    next_call(g, PSCI_VERSION, 0, 0, 0); /* no vCPU can run before the first has somewhere to go */
}

CASE(psci, cpu_on, "CPU_ON starts the second vCPU with its context, once")
{
    struct second second = {0};
    pthread_t thread;
    uint64_t mpidr;

    start_two(g, &second, &second_says);
    check_mp_state(g->vcpu, VISOR_MP_RUNNABLE);
    check_mp_state(second.vcpu, VISOR_MP_STOPPED);
    mpidr = arm_reg(second.vcpu, ARM_MPIDR_EL1) & 0xff00ffffffu;
    if (pthread_create(&thread, NULL, run_second, &second) != 0)
        FAIL("cannot make a thread");
    CHECK_EQ(next_call(g, PSCI_AFFINITY_INFO, mpidr, 0, 0), 1); /* off */
    CHECK_EQ(second.count, 0);
    CHECK_EQ(next_call(g, PSCI_CPU_ON, 0x77, SECOND_CODE, 0), PSCI_INVALID);
    CHECK_EQ(next_call(g, PSCI_CPU_ON, mpidr, SECOND_CODE, 0x4321), 0);
    pthread_join(thread, NULL);
    CHECK_EQ(second.count, 3);
    for (unsigned i = 0; i < 3; i++)
        CHECK_EQ(second.writes[i], 0x4321 + i);
    CHECK_EQ(next_call(g, PSCI_AFFINITY_INFO, mpidr, 0, 0), 0); /* on */
    CHECK_EQ(next_call(g, PSCI_CPU_ON, mpidr, SECOND_CODE, 0), PSCI_ALREADY_ON);
    visor_vcpu_free(second.vcpu);
}

CASE(psci, cpu_off, "CPU_OFF stops a vCPU until CPU_ON starts it again")
{
    struct second second = {0};
    pthread_t thread;
    uint64_t mpidr;

    start_two(g, &second, &second_ends);
    mpidr = arm_reg(second.vcpu, ARM_MPIDR_EL1) & 0xff00ffffffu;
    if (pthread_create(&thread, NULL, run_second, &second) != 0)
        FAIL("cannot make a thread");
    for (unsigned i = 0; i < 2; i++) {
        CHECK_EQ(next_call(g, PSCI_CPU_ON, mpidr, SECOND_CODE, 5 + i), 0);
        for (unsigned wait = 0; next_call(g, PSCI_AFFINITY_INFO, mpidr, 0, 0) != 1; wait++) {
            CHECK(wait < 1000);
            sleep_ms(2);
        }
    }
    visor_vcpu_kick(second.vcpu);
    pthread_join(thread, NULL);
    CHECK_EQ(second.last, VISOR_EXIT_KICKED);
    CHECK_EQ(second.count, 2);
    CHECK_EQ(second.writes[0], 5);
    CHECK_EQ(second.writes[1], 6);
    check_mp_state(second.vcpu, VISOR_MP_STOPPED);
    visor_vcpu_free(second.vcpu);
}

CASE(psci, made_runnable, "a vCPU can be started by the VMM instead")
{
    struct second second = {0};
    visor_aarch64_regs regs = {.pstate = ARM_PSTATE_EL1H | ARM_PSTATE_DAIF, .x = {9}};

    start_two(g, &second, &second_says);
    NEED(g, MP_STATE);
    regs.pc = SECOND_CODE;
    CHECK_OK(visor_aarch64_set_regs(second.vcpu, &regs));
    CHECK_OK(visor_vcpu_set_mp_state(second.vcpu, VISOR_MP_RUNNABLE));
    CHECK_EQ(guest_finish_at(HERE, second.vcpu), 9);
    visor_vcpu_free(second.vcpu);
}
