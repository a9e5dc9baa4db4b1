/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How vCPUs on KVM run, against a kernel that is played here: this program's own ioctl() stands in
 * for libc's. So every exit can be had, on any machine, and every system call is counted.
 */
#include "unit.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fake_ioctl.h"
#include "kvm/kvm_x86.h"

#define RUN_SIZE 8192

static struct {
    int vcpu_fd;
    int calls, runs; /* all ioctls, and those that are KVM_RUN */
    struct kvm_run *run;
    int (*script)(struct kvm_run *run); /* what the guest does; 0 or -errno */
    int step;
    struct kvm_regs regs;
    uint64_t signal_mask;
    struct kvm_guest_debug debug;
} kernel;

static int memory_file(size_t length)
{
    int fd = memfd_create("fake", MFD_CLOEXEC);

    return fd >= 0 && ftruncate(fd, (off_t)length) == 0 ? fd : -1;
}

static int fake_run(void)
{
    struct kvm_run *run = kernel.run;
    int ret;

    kernel.runs++;
    if ((run->kvm_dirty_regs & KVM_SYNC_X86_REGS) != 0)
        kernel.regs = run->s.regs.regs;
    run->kvm_dirty_regs = 0;
    run->flags = 0;
    ret = run->immediate_exit ? -EINTR : kernel.script(run);
    if ((run->kvm_valid_regs & KVM_SYNC_X86_REGS) != 0)
        run->s.regs.regs = kernel.regs;
    return ret;
}

static int fake_ioctl(unsigned long request, void *argument)
{
    kernel.calls++;
    switch (request) {
    case KVM_GET_API_VERSION: return 12;
    case KVM_GET_VCPU_MMAP_SIZE: return RUN_SIZE;
    case KVM_CHECK_EXTENSION:
        switch ((uintptr_t)argument) {
        case KVM_CAP_SYNC_REGS: return KVM_SYNC_X86_VALID_FIELDS;
        case KVM_CAP_USER_MEMORY:
        case KVM_CAP_IMMEDIATE_EXIT:
        case KVM_CAP_SET_GUEST_DEBUG: return 1;
        case KVM_CAP_MAX_VCPUS: return 8;
        case KVM_CAP_NR_MEMSLOTS: return 32;
        default: return 0;
        }
    case KVM_CREATE_VM: return memory_file(1);
    case KVM_CREATE_VCPU:
        kernel.vcpu_fd = memory_file(RUN_SIZE);
        kernel.run = mmap(NULL, RUN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, kernel.vcpu_fd, 0);
        return kernel.vcpu_fd;
    case KVM_RUN: return fake_run();
    case KVM_GET_REGS: *(struct kvm_regs *)argument = kernel.regs; return 0;
    case KVM_SET_REGS: kernel.regs = *(const struct kvm_regs *)argument; return 0;
    case KVM_SET_GUEST_DEBUG: kernel.debug = *(const struct kvm_guest_debug *)argument; return 0;
    case KVM_SET_SIGNAL_MASK: memcpy(&kernel.signal_mask, (const char *)argument + 4, 8); return 0;
    default: return 0;
    }
}

/* ---- a VM with one vCPU in that kernel ---- */

static struct {
    visor_hypervisor *hv;
    visor_memory *memory;
    visor_vm *vm;
    visor_vcpu *vcpu;
    visor_exit *exit;
} box;

static bool start(int (*script)(struct kvm_run *run))
{
    static const visor_memory_region region = {.gpa = 0, .length = 0x10000};

    memset(&kernel, 0, sizeof(kernel));
    memset(&box, 0, sizeof(box));
    kernel.script = script;
    CHECK_OK(visor_hypervisor_open(&box.hv, "kvm[device=/dev/null]"));
    CHECK_OK(visor_memory_create(&box.memory, &region, 1, NULL));
    if (box.hv == NULL || box.memory == NULL)
        return false;
    CHECK_OK(visor_vm_create(&box.vm, box.hv, box.memory, NULL));
    if (box.vm == NULL || !CHECK_OK(visor_vcpu_create(&box.vcpu, box.vm, 0)))
        return false;
    box.exit = visor_vcpu_exit(box.vcpu);
    return true;
}

static void stop(void)
{
    visor_vcpu_free(box.vcpu);
    visor_vm_free(box.vm);
    visor_memory_free(box.memory);
    visor_hypervisor_free(box.hv);
    if (kernel.run != NULL)
        munmap(kernel.run, RUN_SIZE);
}

static void fill_io(struct kvm_run *run, uint8_t direction, uint8_t size, uint32_t count)
{
    run->exit_reason = KVM_EXIT_IO;
    run->io.direction = direction;
    run->io.size = size;
    run->io.port = 0x80;
    run->io.count = count;
    run->io.data_offset = 4096;
}

/* ---- exits ---- */

static int string_input(struct kvm_run *run)
{
    fill_io(run, KVM_EXIT_IO_IN, 2, 3);
    return 0;
}

TEST(string_io_comes_element_by_element)
{
    if (start(string_input)) {
        for (int i = 0; i < 3; i++) {
            CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_IO);
            CHECK_INT(box.exit->io.address, 0x80);
            CHECK_INT(box.exit->io.length, 2);
            CHECK(!box.exit->io.is_write);
            CHECK_INT(visor_io_value(&box.exit->io), 0);
            visor_io_set_value(&box.exit->io, UINT64_C(0x1100) + (uint64_t)i);
            /* A kick between two of them loses none. */
            if (i < 2) {
                visor_vcpu_kick(box.vcpu);
                CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_KICKED);
            }
        }
        CHECK_INT(kernel.runs, 1);
        CHECK_INT(visor_vcpu_settle(box.vcpu), VISOR_EXIT_NONE);
        CHECK_INT(kernel.runs, 2);
        CHECK(memcmp((char *)kernel.run + 4096, "\0\x11\1\x11\2\x11", 6) == 0);
        CHECK_INT(visor_vcpu_settle(box.vcpu), VISOR_EXIT_NONE);
        CHECK_INT(kernel.runs, 2); /* nothing to settle */
    }
    stop();
}

static int wild_io(struct kvm_run *run)
{
    fill_io(run, KVM_EXIT_IO_OUT, 4, 2000);
    return 0;
}

TEST(io_data_outside_the_run_area_is_not_followed)
{
    int reason = VISOR_EXIT_IO, count = 0;

    if (start(wild_io)) {
        while (reason == VISOR_EXIT_IO && count < 3000) {
            reason = visor_vcpu_run(box.vcpu);
            count++;
        }
        CHECK_INT(reason, VISOR_EXIT_UNKNOWN);
        CHECK_INT(count, 4096 / 4 + 1);
    }
    stop();
}

static int one_of_each(struct kvm_run *run)
{
    memset(run->padding, 0, sizeof(run->padding));
    switch (kernel.step++) {
    case 0:
        run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
        run->emulation_failure.suberror = KVM_INTERNAL_ERROR_EMULATION;
        run->emulation_failure.ndata = 3;
        run->emulation_failure.flags = KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
        run->emulation_failure.insn_size = 2;
        memcpy(run->emulation_failure.insn_bytes, "\x0f\x0b", 2);
        return 0;
    case 1:
        run->exit_reason = KVM_EXIT_SYSTEM_EVENT;
        run->system_event.type = KVM_SYSTEM_EVENT_CRASH;
        run->system_event.ndata = 2;
        run->system_event.data[1] = 7;
        return 0;
    case 2:
        run->exit_reason = KVM_EXIT_FAIL_ENTRY;
        run->fail_entry.hardware_entry_failure_reason = 0x80000021;
        return 0;
    case 3:
        run->exit_reason = KVM_EXIT_MEMORY_FAULT;
        memcpy(run->padding, &(struct kvm_exit_memory_fault){8, 0x5000, 0x1000}, 24);
        return -EFAULT;
    case 4:
        run->exit_reason = 4711;
        run->padding[127] = 42;
        return 0;
    case 5: return -EAGAIN; /* was waiting to be started: entered again */
    case 6: run->exit_reason = KVM_EXIT_HLT; return 0;
    case 7: return -EINTR;
    default: return -EFAULT;
    }
}

TEST(exits)
{
    if (start(one_of_each)) {
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_INTERNAL_ERROR);
        CHECK_INT(box.exit->internal.suberror, 1);
        CHECK_INT(box.exit->internal.instruction_len, 2);
        CHECK_INT(box.exit->internal.instruction[1], 0x0b);
        CHECK(box.exit->internal.text != NULL);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_SYSTEM_EVENT);
        CHECK_INT(box.exit->system.type, VISOR_SYSTEM_CRASH);
        CHECK_INT(box.exit->system.data_count, 2);
        CHECK_INT(box.exit->system.data[1], 7);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_FAIL_ENTRY);
        CHECK_INT(box.exit->fail_entry.reason, 0x80000021);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_MEMORY_FAULT);
        CHECK_INT(box.exit->memory_fault.gpa, 0x5000);
        CHECK_INT(box.exit->memory_fault.length, 0x1000);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_UNKNOWN);
        CHECK_INT(box.exit->raw, 4711);
        CHECK_INT(box.exit->unknown.payload[127], 42);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_HLT);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_INTR);
        /* The reason that an earlier run left behind is not taken for this one's. */
        kernel.run->exit_reason = KVM_EXIT_MEMORY_FAULT;
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_ESYSTEM);
        CHECK_INT(visor_error_last()->native, EFAULT);
    }
    stop();
}

static int bus_lock_with_mmio(struct kvm_run *run)
{
    run->flags = KVM_RUN_X86_BUS_LOCK;
    run->exit_reason = KVM_EXIT_MMIO;
    run->mmio.phys_addr = 0xd0000;
    run->mmio.len = 4;
    run->mmio.is_write = 0;
    return 0;
}

TEST(a_bus_lock_beside_another_exit_is_told_too)
{
    if (start(bus_lock_with_mmio)) {
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_BUS_LOCK);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_MMIO);
        CHECK_INT(box.exit->io.address, 0xd0000);
        CHECK_INT(kernel.runs, 1);
        visor_io_set_value(&box.exit->io, 0x12345678);
        CHECK_INT(visor_vcpu_settle(box.vcpu), VISOR_EXIT_NONE);
        CHECK(memcmp(kernel.run->mmio.data, "\x78\x56\x34\x12", 4) == 0);
        CHECK_INT(kernel.runs, 2);
    }
    stop();
}

static int answers(struct kvm_run *run)
{
    memset(run->padding, 0, sizeof(run->padding));
    switch (kernel.step++) {
    case 0:
        run->exit_reason = KVM_EXIT_HYPERCALL;
        run->hypercall.nr = 12;
        run->hypercall.args[5] = 6;
        run->hypercall.longmode = 1;
        break;
    case 1: run->exit_reason = KVM_EXIT_X86_RDMSR; break;
    default:
        run->exit_reason = KVM_EXIT_X86_WRMSR;
        run->msr.index = 0x174;
        run->msr.data = 9;
        break;
    }
    return 0;
}

TEST(unanswered_exits_have_safe_answers)
{
    if (start(answers)) {
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_HYPERCALL);
        CHECK_INT(box.exit->hypercall.number, 12);
        CHECK_INT(box.exit->hypercall.args[5], 6);
        CHECK(box.exit->hypercall.long_mode);
        CHECK_INT(visor_vcpu_settle(box.vcpu), VISOR_EXIT_NONE);
        CHECK_INT(kernel.run->hypercall.ret, -1000); /* KVM_ENOSYS */
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_MSR);
        CHECK_INT(visor_vcpu_settle(box.vcpu), VISOR_EXIT_NONE);
        CHECK_INT(kernel.run->msr.error, 1); /* #GP */
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_MSR);
        CHECK_INT(box.exit->msr.index, 0x174);
        CHECK_INT(box.exit->msr.value, 9);
        box.exit->msr.fault = false;
        CHECK_INT(visor_vcpu_settle(box.vcpu), VISOR_EXIT_NONE);
        CHECK_INT(kernel.run->msr.error, 0);
    }
    stop();
}

/* ---- guest debugging ---- */

static int debug_exit(struct kvm_run *run)
{
    run->exit_reason = KVM_EXIT_DEBUG;
    run->debug.arch = (struct kvm_debug_exit_arch){
        .exception = 1,
        .pc = 0x1000,
        .dr6 = kernel.step++ == 0 ? 0xffff0ff7 : 0xffff4ff0, /* B0 to B2, then BS */
    };
    return 0;
}

TEST(which_breakpoint_was_hit)
{
    static const visor_breakpoint points[3] = {
        {.address = 0x1000, .length = 1, .kind = VISOR_BREAK_EXECUTE},
        {.address = 0x2000, .length = 1, .kind = VISOR_BREAK_EXECUTE}, /* B1 is of long ago */
        {.address = 0x3008, .length = 8, .kind = VISOR_BREAK_WRITE},
    };
    visor_debug_config config = VISOR_DEBUG_CONFIG_INIT;

    config.breakpoints = points;
    config.breakpoint_count = 3;
    config.single_step = true;
    if (start(debug_exit)) {
        CHECK_OK(visor_vcpu_set_debug(box.vcpu, &config));
        CHECK_INT(kernel.debug.control,
                  KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP | KVM_GUESTDBG_SINGLESTEP);
        CHECK_INT(kernel.debug.arch.debugreg[2], 0x3008);
        /* G0 to G2; 8 bytes, writes, at DR2 (SDM vol. 3B, 17.2.4). */
        CHECK_INT(kernel.debug.arch.debugreg[7], 0x600 | 0x2a | 0x9u << 24);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_DEBUG);
        CHECK_INT(box.exit->debug.hit_mask, 5);
        CHECK_INT(box.exit->debug.address, 0x3008);
        CHECK(!box.exit->debug.single_step);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_DEBUG);
        CHECK(box.exit->debug.single_step);
        CHECK_INT(box.exit->debug.hit_mask, 0);
        CHECK_OK(visor_vcpu_set_debug(box.vcpu, NULL));
        CHECK_INT(kernel.debug.control, 0);
    }
    stop();
}

/* ---- system calls ---- */

static int output(struct kvm_run *run)
{
    fill_io(run, KVM_EXIT_IO_OUT, 1, 1);
    return 0;
}

TEST(an_exit_costs_one_system_call)
{
    visor_x86_regs regs;
    int before;

    if (start(output)) {
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_IO);
        before = kernel.calls;
        for (int i = 0; i < 1000; i++) {
            CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_IO);
            CHECK_OK(visor_x86_get_regs(&regs, box.vcpu));
            regs.rbx = (uint64_t)i;
            CHECK_OK(visor_x86_set_regs(box.vcpu, &regs));
            CHECK_OK(visor_x86_get_regs(&regs, box.vcpu));
            CHECK_INT(regs.rbx, i);
        }
        CHECK_INT(kernel.calls - before, 1000);
        CHECK_INT(kernel.regs.rbx, 998); /* the last ones are still in the run area */
        CHECK_OK(visor_x86_nmi(box.vcpu));
        CHECK_INT(kernel.regs.rbx, 999); /* but reach the kernel before anything else does */
    }
    stop();
}

static int interrupted(struct kvm_run *run)
{
    run->exit_reason = KVM_EXIT_INTR;
    return -EINTR;
}

TEST(registers_set_after_an_interrupted_run_reach_the_kernel)
{
    visor_x86_regs regs;

    if (start(interrupted)) {
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_INTR);
        CHECK_OK(visor_x86_get_regs(&regs, box.vcpu));
        regs.rcx = 5;
        CHECK_OK(visor_x86_set_regs(box.vcpu, &regs));
        CHECK_INT(kernel.regs.rcx, 5);
    }
    stop();
}

TEST(the_guest_runs_with_the_threads_own_mask)
{
    sigset_t set;
    uint64_t kick = UINT64_C(1) << (SIGRTMIN + 1 - 1), usr2 = UINT64_C(1) << (SIGUSR2 - 1);

    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (start(interrupted)) {
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_INTR);
        CHECK((kernel.signal_mask & kick) == 0);
        CHECK((kernel.signal_mask & usr2) != 0);
        /* A change of the mask is seen after the next INTR. */
        pthread_sigmask(SIG_UNBLOCK, &set, NULL);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_INTR);
        CHECK((kernel.signal_mask & usr2) == 0);
        pthread_sigmask(SIG_BLOCK, NULL, &set);
        CHECK(sigismember(&set, SIGRTMIN + 1));
    }
    stop();
}

UNIT_MAIN()
