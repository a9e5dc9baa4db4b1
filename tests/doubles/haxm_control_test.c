/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The double of HAXM for Windows refuses what its driver refuses: sizes, codes, second opens; and
 * gives back what that does. Run by haxm_double.exe.
 */
#include <windows.h>

#include <haxm.h>
#include <stdio.h>

#include "../unit/unit.h"

#define PAGE 4096u

static DWORD returned; /* by the last request */

/* A request as programs make it. Returns the error. */
static DWORD call(HANDLE node, DWORD code, void *in, size_t in_size, void *out, size_t out_size)
{
    OVERLAPPED overlapped = {.hEvent = CreateEventA(NULL, TRUE, FALSE, NULL)};
    BOOL ok = DeviceIoControl(node, code, in, (DWORD)in_size, out, (DWORD)out_size, &returned,
                              &overlapped);
    DWORD error = ok ? 0 : GetLastError();

    CHECK_INT(WaitForSingleObject(overlapped.hEvent, 0), WAIT_OBJECT_0);
    CloseHandle(overlapped.hEvent);
    return error;
}

#define GIVE(node, code, out) call((node), (code), NULL, 0, (out), sizeof(*(out)))
#define TAKE(node, code, in)  call((node), (code), (in), sizeof(*(in)), NULL, 0)
#define BOTH(node, code, both) \
    call((node), (code), (both), sizeof(*(both)), (both), sizeof(*(both)))

static HANDLE open_node(const char *path)
{
    return CreateFileA(path, GENERIC_READ | GENERIC_WRITE, 0, NULL, CREATE_ALWAYS,
                       FILE_ATTRIBUTE_NORMAL | FILE_FLAG_OVERLAPPED, NULL);
}

static void check_absent(const char *path, DWORD error)
{
    CHECK(open_node(path) == INVALID_HANDLE_VALUE);
    CHECK_INT(GetLastError(), error);
}

/* A VM with a page of memory at 0, and its vCPU 0. */
struct test_vm {
    HANDLE device, vm, vcpu;
    char vm_path[64], vcpu_path[64];
    uint8_t *ram;
    struct hax_tunnel *tunnel;
};

static void create(struct test_vm *t, const void *code, size_t length)
{
    struct hax_qemu_version version = {4, 1};
    struct hax_set_ram_info2 ram = {.size = PAGE, .flags = HAX_RAM_INFO_STANDALONE};
    struct hax_tunnel_info info;
    struct vcpu_state_t state;
    uint32_t id;

    t->device = open_node(HAX_DEVICE_WINDOWS);
    CHECK_INT(GIVE(t->device, HAX_IOCTL_CREATE_VM_WINDOWS, &id), 0);
    snprintf(t->vm_path, sizeof(t->vm_path), HAX_VM_WINDOWS, id);
    snprintf(t->vcpu_path, sizeof(t->vcpu_path), HAX_VCPU_WINDOWS, id, 0);
    t->vm = open_node(t->vm_path);
    CHECK_INT(TAKE(t->vm, HAX_VM_IOCTL_NOTIFY_QEMU_VERSION_WINDOWS, &version), 0);
    t->ram = VirtualAlloc(NULL, PAGE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    memcpy(t->ram, code, length);
    ram.va = (uintptr_t)t->ram;
    CHECK_INT(TAKE(t->vm, HAX_VM_IOCTL_SET_RAM2_WINDOWS, &ram), 0);
    id = 0;
    CHECK_INT(TAKE(t->vm, HAX_VM_IOCTL_VCPU_CREATE_WINDOWS, &id), 0);
    t->vcpu = open_node(t->vcpu_path);
    CHECK_INT(GIVE(t->vcpu, HAX_VCPU_IOCTL_SETUP_TUNNEL_WINDOWS, &info), 0);
    t->tunnel = (struct hax_tunnel *)(uintptr_t)info.va;
    CHECK_INT(GIVE(t->vcpu, HAX_VCPU_GET_REGS_WINDOWS, &state), 0);
    state._cs.base = state._cs.selector = 0;
    state._rip = 0;
    CHECK_INT(TAKE(t->vcpu, HAX_VCPU_SET_REGS_WINDOWS, &state), 0);
    CHECK_INT(returned, 0);
}

static void destroy(struct test_vm *t)
{
    CloseHandle(t->vcpu);
    CloseHandle(t->vm);
    CloseHandle(t->device);
    VirtualFree(t->ram, 0, MEM_RELEASE);
}

static const uint8_t halt[] = {0xf4, 0xf4};

TEST(nodes_are_exclusive_and_come_and_go)
{
    struct test_vm t;

    check_absent("\\\\.\\hax_vm00", ERROR_FILE_NOT_FOUND);
    check_absent("\\\\.\\GHAX", ERROR_FILE_NOT_FOUND);
    create(&t, halt, sizeof(halt));
    check_absent(t.vm_path, ERROR_ACCESS_DENIED);
    check_absent(t.vcpu_path, ERROR_ACCESS_DENIED);
    destroy(&t);
    check_absent(t.vm_path, ERROR_FILE_NOT_FOUND);
}

TEST(unknown_codes_differ_by_node)
{
    struct test_vm t;
    uint32_t unused = 0;

    create(&t, halt, sizeof(halt));
    CHECK_INT(TAKE(t.device, HAX_WINDOWS(0x9ff), &unused), ERROR_INVALID_FUNCTION);
    CHECK_INT(TAKE(t.vm, HAX_WINDOWS(0x9ff), &unused), ERROR_INVALID_PARAMETER);
    CHECK_INT(TAKE(t.vcpu, HAX_WINDOWS(0x9ff), &unused), ERROR_INVALID_PARAMETER);
    CHECK_INT(GIVE(t.vm, HAX_IOCTL_VERSION_WINDOWS, &unused), ERROR_INVALID_PARAMETER);
    destroy(&t);
}

/* One byte less than the structure. */
static void check_short(HANDLE node, DWORD code, size_t in, size_t out, DWORD error)
{
    uint8_t bytes[1024] = {0};

    if (in > 0)
        CHECK_INT(call(node, code, bytes, in - 1, bytes, out), error);
    if (out > 0)
        CHECK_INT(call(node, code, bytes, in, bytes, out - 1), error);
    CHECK_INT(returned, 0);
}

TEST(sizes_are_checked)
{
    const DWORD error = ERROR_INVALID_PARAMETER;
    struct test_vm t;

    create(&t, halt, sizeof(halt));
    check_short(t.device, HAX_IOCTL_VERSION_WINDOWS, 0, 8, error);
    check_short(t.device, HAX_IOCTL_CAPABILITY_WINDOWS, 0, 16, error);
    check_short(t.device, HAX_IOCTL_CREATE_VM_WINDOWS, 0, 4, ERROR_INSUFFICIENT_BUFFER);
    check_short(t.device, HAX_IOCTL_SET_MEMLIMIT_WINDOWS, 16, 0, error);
    check_short(t.vm, HAX_VM_IOCTL_VCPU_CREATE_WINDOWS, 4, 0, error);
    check_short(t.vm, HAX_VM_IOCTL_ALLOC_RAM_WINDOWS, 16, 0, error);
    check_short(t.vm, HAX_VM_IOCTL_ADD_RAMBLOCK_WINDOWS, 24, 0, error);
    check_short(t.vm, HAX_VM_IOCTL_SET_RAM_WINDOWS, 24, 0, error);
    check_short(t.vm, HAX_VM_IOCTL_SET_RAM2_WINDOWS, 40, 0, error);
    check_short(t.vm, HAX_VM_IOCTL_PROTECT_RAM_WINDOWS, 24, 0, error);
    check_short(t.vm, HAX_VM_IOCTL_NOTIFY_QEMU_VERSION_WINDOWS, 8, 0, error);
    check_short(t.vcpu, HAX_VCPU_IOCTL_SETUP_TUNNEL_WINDOWS, 0, 24, error);
    check_short(t.vcpu, HAX_VCPU_IOCTL_SET_MSRS_WINDOWS, 520, 520, error);
    check_short(t.vcpu, HAX_VCPU_IOCTL_GET_MSRS_WINDOWS, 0, 520, error);
    check_short(t.vcpu, HAX_VCPU_IOCTL_SET_FPU_WINDOWS, 512, 0, error);
    check_short(t.vcpu, HAX_VCPU_IOCTL_GET_FPU_WINDOWS, 0, 512, error);
    check_short(t.vcpu, HAX_VCPU_SET_REGS_WINDOWS, 512, 0, error);
    check_short(t.vcpu, HAX_VCPU_GET_REGS_WINDOWS, 0, 512, error);
    check_short(t.vcpu, HAX_VCPU_IOCTL_INTERRUPT_WINDOWS, 4, 0, error);
    check_short(t.vcpu, HAX_IOCTL_VCPU_DEBUG_WINDOWS, 72, 0, error);
    check_short(t.vcpu, HAX_VCPU_IOCTL_SET_CPUID_WINDOWS, 8, 0, error);
    check_short(t.vcpu, HAX_VCPU_IOCTL_GET_CPUID_WINDOWS, 0, 8, error);
    destroy(&t);
}

TEST(memory_errors_are_told_apart)
{
    struct hax_set_ram_info2 ram = {.pa_start = PAGE, .size = PAGE}; /* no address */
    struct hax_ramblock_info block = {.reserved = 1};
    struct test_vm t;
    uint32_t id = 0;

    create(&t, halt, sizeof(halt));
    CHECK_INT(TAKE(t.vm, HAX_VM_IOCTL_SET_RAM2_WINDOWS, &ram), ERROR_INVALID_PARAMETER);
    CHECK_INT(TAKE(t.vm, HAX_VM_IOCTL_ADD_RAMBLOCK_WINDOWS, &block), ERROR_INVALID_PARAMETER);
    block.reserved = 0;
    CHECK_INT(TAKE(t.vm, HAX_VM_IOCTL_ADD_RAMBLOCK_WINDOWS, &block), ERROR_GEN_FAILURE);
    CHECK_INT(TAKE(t.vm, HAX_VM_IOCTL_VCPU_CREATE_WINDOWS, &id), ERROR_GEN_FAILURE); /* again */
    destroy(&t);
}

TEST(msrs_are_counted_both_ways)
{
    struct hax_msr_data data = {.nr_msr = 32};
    struct test_vm t;

    create(&t, halt, sizeof(halt));
    CHECK_INT(BOTH(t.vcpu, HAX_VCPU_IOCTL_GET_MSRS_WINDOWS, &data), ERROR_INVALID_PARAMETER);
    data = (struct hax_msr_data){.nr_msr = 2, .done = 7, .entries = {{0x277, 0}, {0x12345, 0}}};
    CHECK_INT(BOTH(t.vcpu, HAX_VCPU_IOCTL_GET_MSRS_WINDOWS, &data), 0);
    CHECK_INT(returned, sizeof(data));
    CHECK_INT(data.done, 1);
    CHECK_INT(data.entries[0].value, 0x0007040600070406);
    data.done = 7;
    CHECK_INT(BOTH(t.vcpu, HAX_VCPU_IOCTL_SET_MSRS_WINDOWS, &data), 0);
    CHECK_INT(data.done, 1);
    destroy(&t);
}

TEST(cpuid_is_in_the_buffer)
{
    static struct {
        uint32_t total, pad;
        struct hax_cpuid_entry entries[HAX_MAX_CPUID_ENTRIES];
    } list;
    struct test_vm t;

    create(&t, halt, sizeof(halt));
    list.total = 17;
    CHECK_INT(BOTH(t.vcpu, HAX_VCPU_IOCTL_GET_CPUID_WINDOWS, &list), 0); /* and no leaves */
    CHECK_INT(returned, sizeof(struct hax_cpuid));
    CHECK_INT(list.total, 18);
    CHECK_INT(BOTH(t.vcpu, HAX_VCPU_IOCTL_GET_CPUID_WINDOWS, &list), 0);
    CHECK_INT(returned, sizeof(struct hax_cpuid) + 18 * sizeof(struct hax_cpuid_entry));
    CHECK_INT(list.entries[10].function, 0x40000000);
    CHECK_INT(call(t.vcpu, HAX_VCPU_IOCTL_GET_CPUID_WINDOWS, &list, sizeof(list), &list, 100),
              ERROR_INVALID_PARAMETER);
    CHECK_INT(call(t.vcpu, HAX_VCPU_IOCTL_SET_CPUID_WINDOWS, &list, 100, NULL, 0),
              ERROR_INVALID_PARAMETER);
    list.total = 0;
    CHECK_INT(TAKE(t.vcpu, HAX_VCPU_IOCTL_SET_CPUID_WINDOWS, &list), ERROR_GEN_FAILURE);
    destroy(&t);
}

TEST(a_state_that_cannot_be_entered_fails_the_run)
{
    struct vcpu_state_t state;
    struct test_vm t;

    create(&t, halt, sizeof(halt));
    CHECK_INT(call(t.vcpu, HAX_VCPU_IOCTL_RUN_WINDOWS, NULL, 0, NULL, 0), 0);
    CHECK_INT(GIVE(t.vcpu, HAX_VCPU_GET_REGS_WINDOWS, &state), 0);
    state._cr0 |= 0x80000000u; /* paging without protection */
    CHECK_INT(TAKE(t.vcpu, HAX_VCPU_SET_REGS_WINDOWS, &state), 0);
    CHECK_INT(call(t.vcpu, HAX_VCPU_IOCTL_RUN_WINDOWS, NULL, 0, NULL, 0), ERROR_GEN_FAILURE);
    CHECK_INT(t.tunnel->_exit_status, HAX_EXIT_UNKNOWN);
    destroy(&t);
}

/* 1: jmp 1b */
static const uint8_t spin[] = {0xeb, 0xfe};

TEST(interrupts_of_the_host_and_marks_end_a_run)
{
    struct test_vm t;

    create(&t, spin, sizeof(spin));
    CHECK_INT(call(t.vcpu, HAX_VCPU_IOCTL_KICKOFF_WINDOWS, NULL, 0, NULL, 0), 0); /* nothing */
    CHECK_INT(call(t.vcpu, HAX_VCPU_IOCTL_RUN_WINDOWS, NULL, 0, NULL, 0), 0);
    CHECK_INT(t.tunnel->_exit_status, HAX_EXIT_INTERRUPT);
    t.tunnel->_exit_reason = HAX_EXIT_PAUSED;
    CHECK_INT(call(t.vcpu, HAX_VCPU_IOCTL_RUN_WINDOWS, NULL, 0, NULL, 0), 0);
    CHECK_INT(t.tunnel->_exit_status, HAX_EXIT_PAUSED);
    destroy(&t);
}

UNIT_MAIN()
