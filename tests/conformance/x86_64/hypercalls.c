/* SPDX-License-Identifier: BSD-3-Clause */
/* Hypercalls and bus locks. */
#include "x86.h"

#include <string.h>

/* KVM_HC_MAP_GPA_RANGE (kernel, Documentation/virt/kvm/x86/hypercalls.rst): the only one that can
 * leave the kernel. Number in RAX, arguments in RBX, RCX, RDX, result in RAX. */
#define MAP_GPA_RANGE 12u
VISOR_GUEST_ASM64(call_intel,
                  "mov eax, 12; mov ebx, 0x4000; mov ecx, 2; mov edx, 0x10; vmcall; hlt");
VISOR_GUEST_ASM64(call_amd,
                  "mov eax, 12; mov ebx, 0x4000; mov ecx, 2; mov edx, 0x10; vmmcall; hlt");

static void start(struct guest *g)
{
    uint32_t r[4];

    x86_host_cpuid(r, 0, 0);
    x86_start(g, &(struct x86_setup){.mode = X86_LONG,
                                     .load = 0x1000,
                                     .code = r[1] == 0x756e6547 ? &call_intel : &call_amd});
    kick_later(g->vcpu, 1000); /* where the call never ends */
}

CASE(hypercalls, answered, "an enabled hypercall exits; the answer is the guest's result")
{
    visor_exit *exit;

    start(g);
    NEED(g, HYPERCALLS);
    CHECK_OK(visor_vm_enable_hypercalls(g->vm, MAP_GPA_RANGE, 1));
    exit = RUN_TO(g, HYPERCALL);
    CHECK_EQ(exit->hypercall.number, MAP_GPA_RANGE);
    CHECK_EQ(exit->hypercall.args[0], 0x4000);
    CHECK_EQ(exit->hypercall.args[1], 2);
    CHECK_EQ(exit->hypercall.args[2], 0x10);
    CHECK_EQ(exit->hypercall.result_count, 1);
    CHECK_EQ(exit->hypercall.long_mode, true);
    exit->hypercall.results[0] = 0x1234567887654321u;
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rax, 0x1234567887654321u);
}

CASE(hypercalls, unanswered, "one that nobody answers gets the ABI's \"not supported\"")
{
    start(g);
    NEED(g, HYPERCALLS);
    CHECK_OK(visor_vm_enable_hypercalls(g->vm, MAP_GPA_RANGE, 1));
    RUN_TO(g, HYPERCALL);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rax, (uint64_t)-1000); /* -KVM_ENOSYS */
}

CASE(hypercalls, not_enabled, "one that is not enabled does not exit")
{
    start(g);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rax, (uint64_t)-1000);
}

CASE(hypercalls, refused, "hypercalls that cannot exit are refused")
{
    start(g);
    CHECK_ERROR(visor_vm_enable_hypercalls(g->vm, 1, 1), EUNSUPPORTED);
    CHECK(visor_vm_enable_hypercalls(g->vm, MAP_GPA_RANGE, 0) < 0);
    CHECK(visor_vm_enable_hypercalls(g->vm, UINT32_MAX, 2) < 0);
}

/* A locked access across two cache lines. */
VISOR_GUEST_ASM64(split_lock, "lock inc qword ptr [rdi]; nop; hlt");

CASE(hypercalls, bus_lock, "a bus lock in the guest exits, and the guest goes on")
{
    x86_start(g, &(struct x86_setup){
                     .mode = X86_LONG, .load = 0x1000, .code = &split_lock, .regs.rdi = 0x203c});
    if (visor_vm_cap(g->vm, VISOR_CAP_X86_BUS_LOCK) <= 0) {
        CHECK_ERROR(visor_x86_set_bus_lock_exits(g->vm, true), EUNSUPPORTED);
        NEED(g, X86_BUS_LOCK);
    }
    CHECK_OK(visor_x86_set_bus_lock_exits(g->vm, true));
    RUN_TO(g, BUS_LOCK);
    RUN_TO(g, HLT);
    CHECK_EQ(peek(g, 0x203c, 8), 1);
}

/* In a line, not aligned and at its end; without LOCK; then three that are bus locks, of which the
 * first needs no prefix and the last crosses a page. */
VISOR_GUEST_ASM64(some_split_locks, "lock inc qword ptr [rdi - 0x13];"
                                    "lock inc qword ptr [rdi - 4];"
                                    "inc qword ptr [rdi];"
                                    "cmpxchg8b [rdi];"
                                    "xchg [rdi], rbp;"
                                    "lock cmpxchg8b [rdi];"
                                    "lock add qword ptr [rdi + 0xfc2], 5; hlt");

CASE(hypercalls, bus_locks, "bus locks are locked accesses across cache lines, and nothing else")
{
    static const uint64_t next[] = {19, 23, 32};
    struct x86_setup setup = {
        .mode = X86_LONG, .load = 0x1000, .code = &some_split_locks, .regs.rdi = 0x203c};

    setup.regs.rbp = 0x77;
    setup.regs.rax = 9;
    x86_start(g, &setup);
    NEED(g, X86_BUS_LOCK);
    CHECK_OK(visor_x86_set_bus_lock_exits(g->vm, true));
    for (unsigned i = 0; i < 3; i++) {
        RUN_TO(g, BUS_LOCK);
        CHECK_EQ(x86_regs(g->vcpu).rip, 0x1000 + next[i]);
    }
    CHECK_EQ(peek(g, 0x203c, 8), 0x77);
    CHECK_EQ(peek(g, 0x2ffe, 8), 5);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rbp, 1);
    CHECK_OK(visor_x86_set_bus_lock_exits(g->vm, false));
    x86_load(g, g->vcpu, 0x1000, &some_split_locks, &setup.regs);
    RUN_TO(g, HLT);
    CHECK_EQ(peek(g, 0x2ffe, 8), 10);
}
