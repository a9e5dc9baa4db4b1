/* SPDX-License-Identifier: BSD-3-Clause */
/* RISC-V: calls to the SBI (RISC-V Supervisor Binary Interface, chapters 3 to 12). */
#include <pthread.h>

#include "riscv.h"

#define SBI_BASE   0x10u
#define SBI_TIME   0x54494d45u
#define SBI_HSM    0x48534du
#define SBI_SRST   0x53525354u
#define SBI_DBCN   0x4442434eu
#define SBI_VENDOR 0x09000000u

#define SBI_NOT_SUPPORTED ((uint64_t)-2)

/* KVM's numbers of SBI extensions. */
#define KVM_SBI_HSM  5u
#define KVM_SBI_DBCN 9u

/* Calls; stores a1 where t3 says; result: a0. */
VISOR_GUEST_ASM(call, "ecall; sd a1, 0(t3); mv t0, a0;" RISCV_DONE RISCV_AGAIN);

static void prepare(struct guest *g, visor_vcpu *vcpu, uint64_t extension, uint64_t function,
                    uint64_t a0, uint64_t a1, uint64_t a2)
{
    visor_riscv_regs regs;

    guest_restart(g, vcpu, &call, a0, a1, a2);
    regs = riscv_regs(vcpu);
    regs.x[RISCV_A6] = function;
    regs.x[RISCV_A7] = extension;
    regs.x[28] = guest_data + 0x100;
    CHECK_OK(visor_riscv_set_regs(vcpu, &regs));
}

static void start(struct guest *g)
{
    guest_start(g, &call, 0, 0, 0, NULL);
}

/* Calls and returns the error; *value receives the value. */
static uint64_t sbi(struct guest *g, uint64_t *value, uint64_t extension, uint64_t function,
                    uint64_t a0, uint64_t a1, uint64_t a2)
{
    uint64_t error;

    prepare(g, g->vcpu, extension, function, a0, a1, a2);
    error = GUEST_FINISH(g);
    if (value != NULL)
        *value = peek(g, guest_data + 0x100, 8);
    return error;
}

CASE(sbi, base, "the hypervisor tells the version, and which extensions there are")
{
    uint64_t value;

    start(g);
    CHECK_EQ(sbi(g, &value, SBI_BASE, 0, 0, 0, 0), 0);
    note("SBI %u.%u", (unsigned)(value >> 24), (unsigned)(value & 0xffffff));
    CHECK(value >= 1);
    CHECK_EQ(sbi(g, &value, SBI_BASE, 3, SBI_HSM, 0, 0), 0);
    CHECK_EQ(value, 1);
    CHECK_EQ(sbi(g, &value, SBI_BASE, 3, 0x12345678, 0, 0), 0);
    CHECK_EQ(value, 0);
    CHECK_EQ(sbi(g, NULL, 0x12345678, 0, 0, 0, 0), SBI_NOT_SUPPORTED);
}

CASE(sbi, answered, "a call that the hypervisor passes on is answered")
{
    visor_exit *exit;

    start(g);
    prepare(g, g->vcpu, SBI_VENDOR, 7, 1, 2, 3);
    exit = RUN_TO(g, SBI);
    CHECK_EQ(exit->hypercall.extension, SBI_VENDOR);
    CHECK_EQ(exit->hypercall.number, 7);
    for (unsigned i = 0; i < 3; i++)
        CHECK_EQ(exit->hypercall.args[i], i + 1);
    CHECK_EQ(exit->hypercall.result_count, 2);
    exit->hypercall.results[0] = 0x1111222233334444u;
    exit->hypercall.results[1] = 0x5555666677778888u;
    CHECK_EQ(GUEST_FINISH(g), 0x1111222233334444u);
    CHECK_EQ(peek(g, guest_data + 0x100, 8), 0x5555666677778888u);
}

CASE(sbi, unanswered, "a call that nobody answers is not supported")
{
    start(g);
    prepare(g, g->vcpu, SBI_VENDOR, 7, 1, 2, 3);
    RUN_TO(g, SBI);
    CHECK_EQ(GUEST_FINISH(g), SBI_NOT_SUPPORTED);
    CHECK_EQ(peek(g, guest_data + 0x100, 8), 0);
}

CASE(sbi, settled, "an answer is in the registers when the vCPU has been settled")
{
    visor_exit *exit;

    start(g);
    prepare(g, g->vcpu, SBI_VENDOR, 0, 0, 0, 0);
    exit = RUN_TO(g, SBI);
    exit->hypercall.results[0] = 5;
    exit->hypercall.results[1] = 6;
    CHECK_EQ(CHECK_OK(visor_vcpu_settle(g->vcpu)), VISOR_EXIT_NONE);
    CHECK_EQ(riscv_regs(g->vcpu).x[RISCV_A0], 5);
    CHECK_EQ(riscv_regs(g->vcpu).x[RISCV_A1], 6);
    CHECK_EQ(riscv_regs(g->vcpu).pc, guest_code + 4);
    CHECK_EQ(GUEST_FINISH(g), 5);
}

CASE(sbi, console, "the debug console, switched on, is the VMM's to serve")
{
    static const char text[] = "hello";
    char seen[sizeof(text)] = {0};
    visor_exit *exit;
    uint64_t value;

    start(g);
    if (visor_riscv_set_reg(g->vcpu, VISOR_RISCV_REG(VISOR_RISCV_SBI, KVM_SBI_DBCN), 1) < 0)
        SKIP("this kernel does not pass the debug console on");
    put(g, guest_data, text, sizeof(text));
    CHECK_EQ(sbi(g, &value, SBI_BASE, 3, SBI_DBCN, 0, 0), 0);
    CHECK_EQ(value, 1);
    prepare(g, g->vcpu, SBI_DBCN, 0, sizeof(text), guest_data, 0);
    exit = RUN_TO(g, SBI);
    CHECK_EQ(exit->hypercall.extension, SBI_DBCN);
    CHECK_OK(visor_memory_read(seen, g->memory, exit->hypercall.args[1],
                               (size_t)exit->hypercall.args[0]));
    CHECK_BYTES(seen, text, sizeof(text));
    exit->hypercall.results[0] = 0;
    exit->hypercall.results[1] = exit->hypercall.args[0];
    CHECK_EQ(GUEST_FINISH(g), 0);
    CHECK_EQ(peek(g, guest_data + 0x100, 8), sizeof(text));
}

CASE(sbi, extension_off, "an extension that was switched off is not there")
{
    uint64_t value;

    start(g);
    riscv_set_reg(g->vcpu, VISOR_RISCV_SBI, KVM_SBI_HSM, 0);
    CHECK_EQ(sbi(g, &value, SBI_BASE, 3, SBI_HSM, 0, 0), 0);
    CHECK_EQ(value, 0);
    CHECK_EQ(sbi(g, NULL, SBI_HSM, 2, 0, 0, 0), SBI_NOT_SUPPORTED);
    CHECK_ERROR(visor_riscv_set_reg(g->vcpu, VISOR_RISCV_REG(VISOR_RISCV_SBI, KVM_SBI_HSM), 1),
                EREFUSED); /* too late */
}

CASE(sbi, hypercall_ranges, "there are no ranges of hypercalls: extensions are switched on instead")
{
    start(g);
    CHECK_EQ(visor_vm_cap(g->vm, VISOR_CAP_HYPERCALLS), 0);
    CHECK_ERROR(visor_vm_enable_hypercalls(g->vm, 0, 1), EUNSUPPORTED);
}

/* ---- system reset ---- */

static void check_reset(struct guest *g, uint64_t type, uint64_t reason, visor_system_event event)
{
    const visor_exit *exit;

    start(g);
    prepare(g, g->vcpu, SBI_SRST, 0, type, reason, 0);
    exit = RUN_TO(g, SYSTEM_EVENT);
    CHECK_EQ(exit->system.type, event);
    CHECK_EQ(exit->system.data_count, 2);
    CHECK_EQ(exit->system.data[0], reason);
    CHECK_EQ(exit->system.data[1], type);
}

CASE(sbi, shutdown, "shutdown is a system event")
{
    check_reset(g, 0, 0, VISOR_SYSTEM_SHUTDOWN);
}

CASE(sbi, cold_reboot, "so is a cold reboot")
{
    check_reset(g, 1, 0, VISOR_SYSTEM_RESET);
}

CASE(sbi, warm_reboot, "and a warm one, which the event tells from it, with the guest's reason")
{
    check_reset(g, 2, 1, VISOR_SYSTEM_RESET);
}

CASE(sbi, run_after_reset, "a vCPU that asked for a reset can be reset and run")
{
    check_reset(g, 1, 0, VISOR_SYSTEM_RESET);
    CHECK_OK(visor_vcpu_reset(g->vcpu));
    CHECK_EQ(sbi(g, NULL, SBI_BASE, 0, 0, 0, 0), 0);
}

/* ---- a second vCPU ---- */

/* Started at a0 = hart, a1 = opaque: tells both, then stops itself. */
VISOR_GUEST_ASM(second_says, "lui t1, 0x7f000; sd a0, 0(t1); sd a1, 0(t1);"
                             "li a7, 0x48534d; li a6, 1; ecall;" RISCV_AGAIN);
#define SECOND_CODE (guest_code + 0x4000)

struct second {
    visor_vcpu *vcpu;
    uint64_t writes[8];
    unsigned count;
    int last;
};

/* Runs the second vCPU until it is kicked. */
static void *run_second(void *argument)
{
    struct second *second = argument;

    do {
        second->last = visor_vcpu_run(second->vcpu);
        if (second->last == VISOR_EXIT_MMIO && second->count < 8)
            second->writes[second->count++] = visor_io_value(&visor_vcpu_exit(second->vcpu)->io);
    } while (second->last == VISOR_EXIT_MMIO || second->last == VISOR_EXIT_INTR);
    return NULL;
}

/* What hart_get_status says: 0 started, 1 stopped, ... */
static uint64_t status_of(struct guest *g, uint64_t hart)
{
    uint64_t value;

    CHECK_EQ(sbi(g, &value, SBI_HSM, 2, hart, 0, 0), 0);
    return value;
}

CASE(sbi, second_hart, "hart_start starts a second vCPU, which stops itself; status follows")
{
    struct second second = {0};
    visor_mp_state state;
    pthread_t thread;

    start(g);
    CHECK_OK(visor_vcpu_create(&second.vcpu, g->vm, 1));
    CHECK_OK(visor_vcpu_get_mp_state(&state, second.vcpu));
    CHECK_EQ(state, VISOR_MP_STOPPED);
    guest_put_code(g, SECOND_CODE, &second_says);
    CHECK(pthread_create(&thread, NULL, run_second, &second) == 0);
    CHECK_EQ(status_of(g, 1), 1);
    CHECK_EQ(sbi(g, NULL, SBI_HSM, 0, 1, SECOND_CODE, 0xabcdef), 0);
    for (unsigned i = 0; i < 200 && status_of(g, 1) != 1; i++)
        sleep_ms(10);
    CHECK_EQ(status_of(g, 1), 1);
    CHECK_EQ(status_of(g, 0), 0);
    CHECK(sbi(g, NULL, SBI_HSM, 0, 7, SECOND_CODE, 0) != 0); /* no such hart */
    visor_vcpu_kick(second.vcpu);
    pthread_join(thread, NULL);
    CHECK_EQ(second.last, VISOR_EXIT_KICKED);
    CHECK_EQ(second.count, 2);
    CHECK_EQ(second.writes[0], 1);
    CHECK_EQ(second.writes[1], 0xabcdef);
    CHECK_OK(visor_vcpu_get_mp_state(&state, second.vcpu));
    CHECK_EQ(state, VISOR_MP_STOPPED);
    visor_vcpu_free(second.vcpu);
}
