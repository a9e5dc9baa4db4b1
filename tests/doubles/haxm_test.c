/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The double of HAXM refuses what the driver refuses, in the driver's order and with its errors,
 * and shows what a client has to cope with. It calls the nodes as a program does; no backend is
 * involved. Run with the double preloaded.
 */
#include <haxm.h>
#include <stdio.h>

#include "double_test.h"

#define PAGE 4096u

static int device = -1;

static int open_device(void)
{
    if (device < 0)
        device = open(HAX_DEVICE_LINUX, O_RDWR | O_CLOEXEC);
    return device;
}

/* A VM with a page of memory at 0, and its vCPU 0. */
struct test_vm {
    uint32_t id;
    int vm, vcpu;
    uint8_t *ram;
    struct hax_tunnel *tunnel;
    void *io;
};

static int open_vcpu(uint32_t vm, uint32_t id)
{
    char path[64];

    snprintf(path, sizeof(path), HAX_VCPU_LINUX, vm, id);
    return open(path, O_RDWR);
}

static int open_vm(uint32_t id)
{
    char path[64];

    snprintf(path, sizeof(path), HAX_VM_LINUX, id);
    return open(path, O_RDWR);
}

static long set_ram(int vm, uint64_t gpa, uint64_t size, const void *host, uint32_t flags)
{
    struct hax_set_ram_info2 info = {
        .pa_start = gpa, .size = size, .va = (uintptr_t)host, .flags = flags};

    return CALL(vm, HAX_VM_IOCTL_SET_RAM2, &info);
}

static void create(struct test_vm *t, const void *code, size_t length)
{
    struct hax_qemu_version version = {4, 1};
    struct hax_tunnel_info info;
    struct vcpu_state_t state;
    uint32_t id = 0;

    CHECK_INT(CALL(open_device(), HAX_IOCTL_CREATE_VM, &t->id), 0);
    t->vm = open_vm(t->id);
    CHECK(t->vm >= 0);
    CHECK_INT(CALL(t->vm, HAX_VM_IOCTL_NOTIFY_QEMU_VERSION, &version), 0);
    t->ram = map_ram(PAGE);
    CHECK_INT(set_ram(t->vm, 0, PAGE, t->ram, HAX_RAM_INFO_STANDALONE), 0);
    CHECK_INT(CALL(t->vm, HAX_VM_IOCTL_VCPU_CREATE, &id), 0);
    t->vcpu = open_vcpu(t->id, 0);
    CHECK(t->vcpu >= 0);
    CHECK_INT(CALL(t->vcpu, HAX_VCPU_IOCTL_SETUP_TUNNEL, &info), 0);
    t->tunnel = (struct hax_tunnel *)(uintptr_t)info.va;
    t->io = (void *)(uintptr_t)info.io_va;
    memcpy(t->ram, code, length);
    CHECK_INT(CALL(t->vcpu, HAX_VCPU_GET_REGS, &state), 0);
    state._cs.base = state._cs.selector = 0;
    state._rip = 0;
    CHECK_INT(CALL(t->vcpu, HAX_VCPU_SET_REGS, &state), 0);
}

static void destroy(struct test_vm *t)
{
    close(t->vcpu);
    close(t->vm);
    munmap(t->ram, PAGE);
}

static uint64_t rax_of(const struct test_vm *t)
{
    struct vcpu_state_t state;

    CHECK_INT(CALL(t->vcpu, HAX_VCPU_GET_REGS, &state), 0);
    return state._rax;
}

/* Runs to an exit that is no interrupt of the host. */
static uint32_t run(struct test_vm *t)
{
    do {
        t->tunnel->_exit_reason = 0;
        CHECK_INT(CALL(t->vcpu, HAX_VCPU_IOCTL_RUN, 0), 0);
    } while (t->tunnel->_exit_status == HAX_EXIT_INTERRUPT);
    return t->tunnel->_exit_status;
}

static const uint8_t halt[] = {0xf4, 0xf4};

TEST(nodes_come_and_go)
{
    struct test_vm t;

    CHECK_ERRNO(result(open("/dev/hax_vm/vm00", O_RDWR)), ENOENT);
    CHECK_ERRNO(result(open("/dev/hax_vm/vm0", O_RDWR)), ENOENT);
    create(&t, halt, sizeof(halt));
    CHECK_ERRNO(result(open_vm(t.id)), EBUSY);
    CHECK_ERRNO(result(open_vcpu(t.id, 0)), EBUSY);
    CHECK_ERRNO(result(open_vcpu(t.id, 1)), ENOENT);
    destroy(&t);
    CHECK_ERRNO(result(open_vm(t.id)), ENOENT);
}

TEST(unknown_requests_differ_by_node)
{
    struct test_vm t;

    create(&t, halt, sizeof(halt));
    CHECK_INT(CALL(device, 0x12345678, 0), 0);
    CHECK_INT(CALL(t.vm, 0x12345678, 0), 0);
    CHECK_ERRNO(CALL(t.vcpu, 0x12345678, 0), ENOSYS);
    destroy(&t);
}

TEST(memory_is_checked)
{
    struct hax_ramblock_info block = {0};
    struct hax_set_ram_info2 reserved = {.pa_start = PAGE, .size = PAGE, .reserved1 = 1};
    struct hax_protect_ram_info protect = {.size = PAGE, .flags = 3};
    struct test_vm t;
    uint8_t *more = map_ram(2 * PAGE);

    create(&t, halt, sizeof(halt));
    CHECK_ERRNO(set_ram(t.vm, PAGE, 0, more, HAX_RAM_INFO_STANDALONE), EINVAL);
    CHECK_ERRNO(set_ram(t.vm, PAGE, PAGE, NULL, HAX_RAM_INFO_STANDALONE), EINVAL);
    CHECK_ERRNO(set_ram(t.vm, PAGE, PAGE, more, 0), EINVAL); /* in no block */
    CHECK_ERRNO(set_ram(t.vm, PAGE, PAGE, t.ram, HAX_RAM_INFO_STANDALONE), EINVAL); /* overlap */
    CHECK_ERRNO(set_ram(t.vm, 0, PAGE, more, HAX_RAM_INFO_INVALID), EINVAL);
    CHECK_ERRNO(set_ram(t.vm, 0, PAGE, NULL, HAX_RAM_INFO_INVALID | HAX_RAM_INFO_ROM), EINVAL);
    CHECK_ERRNO(set_ram(t.vm, 1ull << 43, PAGE, more, HAX_RAM_INFO_STANDALONE), EINVAL);
    CHECK_ERRNO(CALL(t.vm, HAX_VM_IOCTL_SET_RAM2, &reserved), EINVAL);
    CHECK_ERRNO(CALL(t.vm, HAX_VM_IOCTL_ADD_RAMBLOCK, &block), EINVAL);
    block = (struct hax_ramblock_info){.start_va = (uintptr_t)more, .size = 2 * PAGE};
    CHECK_INT(CALL(t.vm, HAX_VM_IOCTL_ADD_RAMBLOCK, &block), 0);
    CHECK_ERRNO(CALL(t.vm, HAX_VM_IOCTL_ADD_RAMBLOCK, &block), EINVAL);
    CHECK_INT(set_ram(t.vm, PAGE, PAGE, more + PAGE, 0), 0);
    CHECK_ERRNO(CALL(t.vm, HAX_VM_IOCTL_PROTECT_RAM, &protect), EINVAL);
    protect.flags = HAX_RAM_PERM_RWX;
    CHECK_INT(CALL(t.vm, HAX_VM_IOCTL_PROTECT_RAM, &protect), 0);
    protect.pa_start = PAGE * 2;
    CHECK_ERRNO(CALL(t.vm, HAX_VM_IOCTL_PROTECT_RAM, &protect), EINVAL);
    CHECK_INT(set_ram(t.vm, 0, PAGE, NULL, HAX_RAM_INFO_INVALID), 0);
    CHECK_ERRNO(CALL(t.vm, HAX_VM_IOCTL_SET_RAM2, NULL), EFAULT);
    destroy(&t);
    munmap(more, 2 * PAGE);
}

TEST(vcpus_are_checked)
{
    uint32_t id = HAX_MAX_VCPUS;
    struct test_vm t;

    create(&t, halt, sizeof(halt));
    CHECK_ERRNO(CALL(t.vm, HAX_VM_IOCTL_VCPU_CREATE, &id), EINVAL);
    id = 0;
    CHECK_ERRNO(CALL(t.vm, HAX_VM_IOCTL_VCPU_CREATE, &id), EINVAL);
    destroy(&t);
}

static void first_vcpu_last(void)
{
    struct test_vm t;
    uint32_t id = 1;

    create(&t, halt, sizeof(halt));
    CALL(t.vm, HAX_VM_IOCTL_VCPU_CREATE, &id);
    open_vcpu(t.id, 1);
    close(t.vcpu);
}

TEST(the_first_vcpu_must_outlive_the_others)
{
    CHECK_INT(death_of(first_vcpu_last), SIGABRT);
}

TEST(registers_beyond_the_drivers_are_stale)
{
    struct vcpu_state_t state;
    struct test_vm t;

    create(&t, halt, sizeof(halt));
    CHECK_INT(CALL(t.vcpu, HAX_VCPU_GET_REGS, &state), 0);
    CHECK(state._efer != 0);
    CHECK_INT(state._rip, 0);
    destroy(&t);
}

TEST(msrs_are_counted_when_read_only)
{
    struct hax_msr_data data = {.nr_msr = 32};
    struct test_vm t;

    create(&t, halt, sizeof(halt));
    CHECK_ERRNO(CALL(t.vcpu, HAX_VCPU_IOCTL_GET_MSRS, &data), EFAULT);
    data = (struct hax_msr_data){.nr_msr = 2, .done = 7, .entries = {{0x277, 0}, {0x12345, 0}}};
    CHECK_INT(CALL(t.vcpu, HAX_VCPU_IOCTL_GET_MSRS, &data), 0);
    CHECK_INT(data.done, 1);
    CHECK_INT(data.entries[0].value, 0x0007040600070406);
    data.done = 7;
    CHECK_INT(CALL(t.vcpu, HAX_VCPU_IOCTL_SET_MSRS, &data), 0);
    CHECK_INT(data.done, 7);
    destroy(&t);
}

TEST(cpuid_is_behind_two_pointers)
{
    static struct {
        uint32_t total, pad;
        struct hax_cpuid_entry entries[HAX_MAX_CPUID_ENTRIES];
    } list, *pointer = &list;
    struct test_vm t;

    create(&t, halt, sizeof(halt));
    list.total = 17;
    CHECK_ERRNO(CALL(t.vcpu, HAX_VCPU_IOCTL_GET_CPUID, &pointer), ENOMEM);
    CHECK_INT(list.total, 18);
    CHECK_INT(CALL(t.vcpu, HAX_VCPU_IOCTL_GET_CPUID, &pointer), 0);
    CHECK_INT(list.entries[10].function, 0x40000000);
    list.total = 65;
    CHECK_ERRNO(CALL(t.vcpu, HAX_VCPU_IOCTL_SET_CPUID, &pointer), E2BIG);
    list.total = 0;
    CHECK_ERRNO(CALL(t.vcpu, HAX_VCPU_IOCTL_SET_CPUID, &pointer), EINVAL);
    pointer = NULL;
    CHECK_ERRNO(CALL(t.vcpu, HAX_VCPU_IOCTL_SET_CPUID, &pointer), EFAULT);
    destroy(&t);
}

/* in al, 0x20; hlt */
static const uint8_t input[] = {0xe4, 0x20, 0xf4};

TEST(a_port_is_read_in_the_next_run)
{
    struct vcpu_state_t state;
    struct test_vm t;

    create(&t, input, sizeof(input));
    CHECK_INT(run(&t), HAX_EXIT_IO);
    CHECK_INT(t.tunnel->_exit_reason, 30);
    CHECK_INT(t.tunnel->io._direction, HAX_IO_IN);
    CHECK_INT(t.tunnel->io._size, 1);
    CHECK_INT(t.tunnel->io._count, 1);
    CHECK_INT(t.tunnel->io._port, 0x20);
    CHECK_INT(CALL(t.vcpu, HAX_VCPU_GET_REGS, &state), 0);
    CHECK_INT(state._rip, 2); /* already behind */
    CHECK_INT(state._rax, 0); /* not yet */
    *(uint8_t *)t.io = 0x5a;
    t.tunnel->_exit_reason = HAX_EXIT_PAUSED;
    CHECK_INT(CALL(t.vcpu, HAX_VCPU_IOCTL_RUN, 0), 0);
    CHECK_INT(t.tunnel->_exit_status, HAX_EXIT_PAUSED);
    CHECK_INT(rax_of(&t), 0x5a);
    CHECK_INT(run(&t), HAX_EXIT_HLT);
    destroy(&t);
}

/* cld; mov dx, 0x80; mov di, 0x200; mov cx, 70; rep insb; hlt */
static const uint8_t string[] = {0xfc, 0xba, 0x80, 0x00, 0xbf, 0x00, 0x02,
                                 0xb9, 70,   0x00, 0xf3, 0x6c, 0xf4};

TEST(string_input_comes_in_buffers)
{
    struct vcpu_state_t state;
    struct test_vm t;

    create(&t, string, sizeof(string));
    CHECK_INT(run(&t), HAX_EXIT_IO);
    CHECK_INT(t.tunnel->io._flags, 1);
    CHECK_INT(t.tunnel->io._count, 64);
    CHECK_INT(CALL(t.vcpu, HAX_VCPU_GET_REGS, &state), 0);
    CHECK_INT(state._rcx & 0xffff, 6);
    CHECK_INT(state._rdi & 0xffff, 0x240);
    CHECK_INT(state._rip, 10); /* there is more */
    memset(t.io, 0x11, 64);
    CHECK_INT(run(&t), HAX_EXIT_IO);
    CHECK_INT(t.ram[0x23f], 0x11);
    CHECK_INT(t.ram[0x240], 0);
    CHECK_INT(t.tunnel->io._count, 6);
    memset(t.io, 0x22, 6);
    CHECK_INT(run(&t), HAX_EXIT_HLT);
    CHECK_INT(t.ram[0x245], 0x22);
    destroy(&t);
}

/* mov byte [0x100], 1; hlt */
static const uint8_t store[] = {0xc6, 0x06, 0x00, 0x01, 0x01, 0xf4};

TEST(a_write_to_rom_leaves_the_status_alone)
{
    struct test_vm t;

    create(&t, store, sizeof(store));
    CHECK_INT(set_ram(t.vm, 0, PAGE, NULL, HAX_RAM_INFO_INVALID), 0);
    CHECK_INT(set_ram(t.vm, 0, PAGE, t.ram, HAX_RAM_INFO_STANDALONE | HAX_RAM_INFO_ROM), 0);
    t.tunnel->_exit_status = HAX_EXIT_HLT;
    CHECK_INT(CALL(t.vcpu, HAX_VCPU_IOCTL_RUN, 0), 0);
    CHECK_INT(t.tunnel->_exit_status, HAX_EXIT_HLT);
    CHECK_INT(t.tunnel->_exit_reason, 48);
    CHECK_INT(t.ram[0x100], 0);
    t.tunnel->_exit_status = 0;
    CHECK_INT(run(&t), HAX_EXIT_HLT);
    destroy(&t);
}

/* xchg [0x2000], al; hlt */
static const uint8_t exchange[] = {0x86, 0x06, 0x00, 0x20, 0xf4};

TEST(what_the_driver_cannot_emulate_is_the_end)
{
    struct test_vm t;

    create(&t, exchange, sizeof(exchange));
    CHECK_INT(run(&t), HAX_EXIT_STATECHANGE);
    CHECK_INT(run(&t), HAX_EXIT_STATECHANGE);
    destroy(&t);
}

/* hlt; lidt [0x100]; int3: with an empty table */
static const uint8_t triple_fault[] = {0xf4, 0x0f, 0x01, 0x1e, 0x00, 0x01, 0xcc};

TEST(a_triple_fault_has_the_reason_of_what_was_before_it)
{
    struct test_vm t;

    create(&t, triple_fault, sizeof(triple_fault));
    CHECK_INT(run(&t), HAX_EXIT_HLT);
    CHECK_INT(run(&t), HAX_EXIT_STATECHANGE);
    CHECK_INT(t.tunnel->_exit_reason, 0);
    destroy(&t);
    create(&t, triple_fault + 1, sizeof(triple_fault) - 1);
    CHECK_INT(run(&t), HAX_EXIT_STATECHANGE);
    CHECK_INT(t.tunnel->_exit_reason, 48); /* a page that was touched first */
    destroy(&t);
}

TEST(a_state_that_cannot_be_entered_fails_the_run)
{
    struct vcpu_state_t state;
    struct test_vm t;

    create(&t, halt, sizeof(halt));
    CHECK_INT(CALL(t.vcpu, HAX_VCPU_GET_REGS, &state), 0);
    state._cr0 |= 0x80000000u; /* paging without protection */
    CHECK_INT(CALL(t.vcpu, HAX_VCPU_SET_REGS, &state), 0);
    CHECK_ERRNO(CALL(t.vcpu, HAX_VCPU_IOCTL_RUN, 0), EINVAL);
    CHECK_INT(t.tunnel->_exit_status, HAX_EXIT_UNKNOWN);
    destroy(&t);
}

/* 1: jmp 1b */
static const uint8_t spin[] = {0xeb, 0xfe};

TEST(interrupts_of_the_host_and_requests_end_a_run)
{
    struct test_vm t;

    create(&t, spin, sizeof(spin));
    CHECK_INT(CALL(t.vcpu, HAX_VCPU_IOCTL_RUN, 0), 0);
    CHECK_INT(t.tunnel->_exit_status, HAX_EXIT_INTERRUPT);
    t.tunnel->_exit_reason = HAX_EXIT_PAUSED;
    CHECK_INT(CALL(t.vcpu, HAX_VCPU_IOCTL_RUN, 0), 0);
    CHECK_INT(t.tunnel->_exit_status, HAX_EXIT_PAUSED);
    destroy(&t);
}

UNIT_MAIN()
