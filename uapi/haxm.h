/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The interface of HAXM, Intel's Hardware Accelerated Execution Manager (7.8.0, the last one), on
 * its systems: what the headers of its source define, written anew; nobody installs them. Layouts
 * are the same everywhere; requests are not. A name with a system at its end is that system's,
 * without one it is Linux's, or of all. GHAXM: Google's fork. tests/abi compares each number with a
 * table. The names of structures and members are the driver's.
 */
#ifndef VISOR_UAPI_HAXM_H
#define VISOR_UAPI_HAXM_H

#include <stdint.h>

#define HAX_CUR_VERSION    4
#define HAX_COMPAT_VERSION 1
#define HAX_MAX_VCPUS      16 /* of a VM; its ids are 0 to 15 */
#define HAX_MAX_VMS        64
#define HAX_PAGE_SIZE      4096
#define HAX_PAGE_SHIFT     12
#define HAX_PAGE_MASK      4095

/* Node names: the ids are decimal, two digits at least. */
#define HAX_DEVICE_LINUX   "/dev/HAX"
#define HAX_VM_LINUX       "/dev/hax_vm/vm%02u"
#define HAX_VCPU_LINUX     "/dev/hax_vm%02u/vcpu%02u"
#define HAX_DEVICE_WINDOWS "\\\\.\\HAX"
#define HAX_VM_WINDOWS     "\\\\.\\hax_vm%02u"
#define HAX_VCPU_WINDOWS   "\\\\.\\hax_vm%02u_vcpu%02u"
#define HAX_DEVICE_GHAXM   "\\\\.\\GHAX"
#define HAX_VM_GHAXM       "\\\\.\\ghax_vm%02u"
#define HAX_VCPU_GHAXM     "\\\\.\\ghax_vm%02u_vcpu%02u"

/* ---- the device ---- */

struct hax_module_version {
    uint32_t compat_version, cur_version;
};

/* wstatus */
#define HAX_CAP_STATUS_WORKING  1
#define HAX_CAP_MEMQUOTA        2
#define HAX_CAP_WORKSTATUS_MASK 1
/* winfo if it does not work */
#define HAX_CAP_FAILREASON_VT 1
#define HAX_CAP_FAILREASON_NX 2
/* winfo if it does */
#define HAX_CAP_EPT               0x1
#define HAX_CAP_FASTMMIO          0x2
#define HAX_CAP_UG                0x4 /* unrestricted guest: real mode runs */
#define HAX_CAP_64BIT_RAMBLOCK    0x8
#define HAX_CAP_64BIT_SETRAM      0x10
#define HAX_CAP_TUNNEL_PAGE       0x20
#define HAX_CAP_RAM_PROTECTION    0x40
#define HAX_CAP_DEBUG             0x80
#define HAX_CAP_IMPLICIT_RAMBLOCK 0x100
#define HAX_CAP_CPUID             0x200
#define HAX_CAP_VM_LOG_GHAXM      0x400

struct hax_capabilityinfo {
    uint16_t wstatus, winfo;
    uint32_t win_refcount; /* Windows: how often the device is open */
    uint64_t mem_quota;
};

struct hax_set_memlimit {
    uint8_t enable_memlimit, pad[7];
    uint64_t memory_limit; /* MB */
};

/* ---- VMs ---- */

/* What the client knows, told with NOTIFY_QEMU_VERSION: from 2 on, accesses decoded by the driver
 * (FAST_MMIO). */
struct hax_qemu_version {
    uint32_t cur_version, least_version;
};

struct hax_alloc_ram_info {
    uint32_t size, pad;
    uint64_t va;
};

struct hax_ramblock_info {
    uint64_t start_va, size, reserved;
};

#define HAX_RAM_INFO_ROM         0x01
#define HAX_RAM_INFO_UNPIN_GHAXM 0x20
#define HAX_RAM_INFO_STANDALONE  0x40 /* a block of memory of its own */
#define HAX_RAM_INFO_INVALID     0x80 /* unmap; the only flag then, with va 0 */

struct hax_set_ram_info {
    uint64_t pa_start;
    uint32_t size;
    uint8_t flags, pad[3];
    uint64_t va;
};

struct hax_set_ram_info2 {
    uint64_t pa_start, size, va;
    uint32_t flags, reserved1;
    uint64_t reserved2;
};

#define HAX_RAM_PERM_NONE 0
#define HAX_RAM_PERM_RWX  7
#define HAX_RAM_PERM_MASK 7

struct hax_protect_ram_info {
    uint64_t pa_start, size;
    uint32_t flags, reserved;
};

struct hax_log_file_ghaxm {
    uint16_t path[2048];
};

/* ---- vCPUs: memory shared with the driver ---- */

struct hax_tunnel_info {
    uint64_t va, io_va; /* in the process that created the vCPU */
    uint16_t size, pad[3];
};

#define HAX_EXIT_IO          1
#define HAX_EXIT_MMIO        2
#define HAX_EXIT_REALMODE    3
#define HAX_EXIT_INTERRUPT   4
#define HAX_EXIT_UNKNOWN     5
#define HAX_EXIT_HLT         6
#define HAX_EXIT_STATECHANGE 7
#define HAX_EXIT_PAUSED      8
#define HAX_EXIT_FAST_MMIO   9
#define HAX_EXIT_PAGEFAULT   10
#define HAX_EXIT_DEBUG       11

#define HAX_IO_OUT 0
#define HAX_IO_IN  1

#define HAX_PAGEFAULT_ACC_R 0x01
#define HAX_PAGEFAULT_ACC_W 0x02
#define HAX_PAGEFAULT_ACC_X 0x04
/* The driver stores them one bit lower than its header says. */
#define HAX_PAGEFAULT_PERM_R 0x10
#define HAX_PAGEFAULT_PERM_W 0x20
#define HAX_PAGEFAULT_PERM_X 0x40

/* Of the buffer at io_va, for port accesses. */
#define IOS_MAX_BUFFER 64

struct hax_tunnel {
    uint32_t _exit_reason, pad0; /* VMX's; HAX_EXIT_PAUSED before a run: do not enter */
    uint32_t _exit_status;       /* HAX_EXIT_... */
    uint32_t user_event_pending; /* bit 0: leave after the next exit */
    int32_t ready_for_interrupt_injection, request_interrupt_window;
    union {
        struct {
            uint8_t _direction, _df;
            uint16_t _size, _port, _count;
            uint8_t _flags, _pad0;
            uint16_t _pad1;
            uint32_t _pad2;
            uint64_t _vaddr; /* the driver's */
        } io;
        struct {
            uint64_t gla;
        } mmio;
        struct {
            uint64_t gpa;
            uint32_t flags, reserved1;
            uint64_t reserved2;
        } pagefault;
        struct {
            uint64_t dummy;
        } state;
        struct {
            uint64_t rip, dr6, dr7;
        } debug;
    };
    uint64_t apic_base;
};

struct hax_tunnel_ghaxm {
    struct hax_tunnel tunnel;
    uint32_t vcpu_panic_reason;
} __attribute__((packed));

/* Names of our own for `direction`. */
#define HAX_FASTMMIO_READ  0
#define HAX_FASTMMIO_WRITE 1
#define HAX_FASTMMIO_MOVE  2

/* At io_va. */
struct hax_fastmmio {
    uint64_t gpa;
    union {
        uint64_t value, gpa2;
    };
    uint8_t size, direction;
    uint16_t reg_index;
    uint32_t pad0;
    uint64_t _cr0, _cr2, _cr3, _cr4;
};

/* ---- vCPUs: state ---- */

struct vmx_msr {
    uint64_t entry, value;
};

#define HAX_MAX_MSR_ARRAY 32 /* the driver of Linux takes one less */

struct hax_msr_data {
    uint16_t nr_msr, done, pad[2];
    struct vmx_msr entries[HAX_MAX_MSR_ARRAY];
};

/* The image of FXSAVE. */
struct fx_layout {
    uint16_t fcw, fsw;
    uint8_t ftw, res1;
    uint16_t fop;
    union {
        struct {
            uint32_t fip;
            uint16_t fcs, res2;
        };
        uint64_t fpu_ip;
    };
    union {
        struct {
            uint32_t fdp;
            uint16_t fds, res3;
        };
        uint64_t fpu_dp;
    };
    uint32_t mxcsr, mxcsr_mask;
    uint8_t st_mm[8][16], mmx_1[8][16], mmx_2[8][16], pad[96];
} __attribute__((aligned(16)));

/* `ar`: access rights as in a VMCS. */
struct segment_desc_t {
    uint16_t selector, _dummy;
    uint32_t limit; /* bytes */
    uint64_t base;
    uint32_t ar, ipad;
};

struct interruptibility_state_t {
    union {
        uint32_t raw;
        uint64_t pad;
    };
};

struct vcpu_state_t {
    union {
        uint64_t _regs[16];
        struct {
            uint64_t _rax, _rcx, _rdx, _rbx, _rsp, _rbp, _rsi, _rdi;
            uint64_t _r8, _r9, _r10, _r11, _r12, _r13, _r14, _r15;
        };
    };
    uint64_t _rip, _rflags;
    struct segment_desc_t _cs, _ss, _ds, _es, _fs, _gs, _ldt, _tr, _gdt, _idt;
    uint64_t _cr0, _cr2, _cr3, _cr4;
    uint64_t _dr0, _dr1, _dr2, _dr3, _dr6, _dr7;
    /* From here on neither read nor written by the driver. */
    uint64_t _pde;
    uint32_t _efer, _sysenter_cs;
    uint64_t _sysenter_eip, _sysenter_esp;
    uint32_t _activity_state, pad;
    struct interruptibility_state_t _interruptibility_state;
};

#define HAX_DEBUG_ENABLE    1
#define HAX_DEBUG_STEP      2
#define HAX_DEBUG_USE_SW_BP 4
#define HAX_DEBUG_USE_HW_BP 8

struct hax_debug_t {
    uint32_t control, reserved;
    uint64_t dr[8];
};

#define HAX_MAX_CPUID_ENTRIES 64

struct hax_cpuid_entry {
    uint32_t function, index, flags, eax, ebx, ecx, edx, pad[3];
};

struct hax_cpuid {
    uint32_t total, pad;
    struct hax_cpuid_entry entries[];
};

/* ---- requests of Linux ---- */

#define HAX_LINUX_N                        0u
#define HAX_LINUX_W                        1u
#define HAX_LINUX_R                        2u
#define HAX_LINUX_WR                       3u
#define HAX_LINUX(direction, number, size) ((direction) << 30 | (unsigned)(size) << 16 | (number))

/* VMs and vCPUs are opened by their nodes: what creates them returns no descriptor. CPUID: the
 * argument points to the address of a struct hax_cpuid. */
#define HAX_IOCTL_VERSION      HAX_LINUX(HAX_LINUX_WR, 0x20, sizeof(struct hax_module_version))
#define HAX_IOCTL_CREATE_VM    HAX_LINUX(HAX_LINUX_WR, 0x21, sizeof(uint32_t))
#define HAX_IOCTL_DESTROY_VM   HAX_LINUX(HAX_LINUX_W, 0x22, sizeof(uint32_t))
#define HAX_IOCTL_CAPABILITY   HAX_LINUX(HAX_LINUX_R, 0x23, sizeof(struct hax_capabilityinfo))
#define HAX_IOCTL_SET_MEMLIMIT HAX_LINUX(HAX_LINUX_WR, 0x24, sizeof(struct hax_set_memlimit))

#define HAX_VM_IOCTL_VCPU_CREATE      HAX_LINUX(HAX_LINUX_WR, 0x80, sizeof(uint32_t))
#define HAX_VM_IOCTL_VCPU_CREATE_ORIG HAX_LINUX(HAX_LINUX_R, 0x80, sizeof(uint32_t))
#define HAX_VM_IOCTL_ALLOC_RAM        HAX_LINUX(HAX_LINUX_WR, 0x81, sizeof(struct hax_alloc_ram_info))
#define HAX_VM_IOCTL_SET_RAM          HAX_LINUX(HAX_LINUX_WR, 0x82, sizeof(struct hax_set_ram_info))
#define HAX_VM_IOCTL_VCPU_DESTROY     HAX_LINUX(HAX_LINUX_R, 0x83, sizeof(uint32_t))
#define HAX_VM_IOCTL_NOTIFY_QEMU_VERSION \
    HAX_LINUX(HAX_LINUX_W, 0x84, sizeof(struct hax_qemu_version))
#define HAX_VM_IOCTL_ADD_RAMBLOCK HAX_LINUX(HAX_LINUX_W, 0x85, sizeof(struct hax_ramblock_info))
#define HAX_VM_IOCTL_SET_RAM2     HAX_LINUX(HAX_LINUX_WR, 0x86, sizeof(struct hax_set_ram_info2))
#define HAX_VM_IOCTL_PROTECT_RAM  HAX_LINUX(HAX_LINUX_WR, 0x87, sizeof(struct hax_protect_ram_info))

#define HAX_VCPU_IOCTL_RUN          HAX_LINUX(HAX_LINUX_N, 0xc0, 0)
#define HAX_VCPU_IOCTL_SET_MSRS     HAX_LINUX(HAX_LINUX_WR, 0xc1, sizeof(struct hax_msr_data))
#define HAX_VCPU_IOCTL_GET_MSRS     HAX_LINUX(HAX_LINUX_WR, 0xc2, sizeof(struct hax_msr_data))
#define HAX_VCPU_IOCTL_SET_FPU      HAX_LINUX(HAX_LINUX_W, 0xc3, sizeof(struct fx_layout))
#define HAX_VCPU_IOCTL_GET_FPU      HAX_LINUX(HAX_LINUX_R, 0xc4, sizeof(struct fx_layout))
#define HAX_VCPU_IOCTL_SETUP_TUNNEL HAX_LINUX(HAX_LINUX_WR, 0xc5, sizeof(struct hax_tunnel_info))
#define HAX_VCPU_IOCTL_INTERRUPT    HAX_LINUX(HAX_LINUX_WR, 0xc6, sizeof(uint32_t))
#define HAX_VCPU_SET_REGS           HAX_LINUX(HAX_LINUX_WR, 0xc7, sizeof(struct vcpu_state_t))
#define HAX_VCPU_GET_REGS           HAX_LINUX(HAX_LINUX_WR, 0xc8, sizeof(struct vcpu_state_t))
#define HAX_IOCTL_VCPU_DEBUG        HAX_LINUX(HAX_LINUX_W, 0xc9, sizeof(struct hax_debug_t))
#define HAX_VCPU_IOCTL_SET_CPUID    HAX_LINUX(HAX_LINUX_W, 0xca, sizeof(uint64_t))
#define HAX_VCPU_IOCTL_GET_CPUID    HAX_LINUX(HAX_LINUX_W, 0xcb, sizeof(uint64_t))

/* ---- requests of macOS and NetBSD ---- */

#define HAX_DARWIN_N                        0x20000000u
#define HAX_DARWIN_R                        0x40000000u
#define HAX_DARWIN_W                        0x80000000u
#define HAX_DARWIN_WR                       (HAX_DARWIN_R | HAX_DARWIN_W)
#define HAX_DARWIN(direction, number, size) ((direction) | (unsigned)(size) << 16 | (number))

#define HAX_IOCTL_VERSION_DARWIN    HAX_DARWIN(HAX_DARWIN_WR, 0x20, sizeof(struct hax_module_version))
#define HAX_IOCTL_CREATE_VM_DARWIN  HAX_DARWIN(HAX_DARWIN_WR, 0x21, sizeof(uint32_t))
#define HAX_IOCTL_DESTROY_VM_DARWIN HAX_DARWIN(HAX_DARWIN_W, 0x22, sizeof(uint32_t))
#define HAX_IOCTL_CAPABILITY_DARWIN \
    HAX_DARWIN(HAX_DARWIN_R, 0x23, sizeof(struct hax_capabilityinfo))
#define HAX_IOCTL_SET_MEMLIMIT_DARWIN \
    HAX_DARWIN(HAX_DARWIN_WR, 0x24, sizeof(struct hax_set_memlimit))

#define HAX_VM_IOCTL_VCPU_CREATE_DARWIN      HAX_DARWIN(HAX_DARWIN_WR, 0x80, sizeof(uint32_t))
#define HAX_VM_IOCTL_VCPU_CREATE_ORIG_DARWIN HAX_DARWIN(HAX_DARWIN_R, 0x80, sizeof(uint32_t))
#define HAX_VM_IOCTL_ALLOC_RAM_DARWIN \
    HAX_DARWIN(HAX_DARWIN_WR, 0x81, sizeof(struct hax_alloc_ram_info))
#define HAX_VM_IOCTL_SET_RAM_DARWIN      HAX_DARWIN(HAX_DARWIN_WR, 0x82, sizeof(struct hax_set_ram_info))
#define HAX_VM_IOCTL_VCPU_DESTROY_DARWIN HAX_DARWIN(HAX_DARWIN_R, 0x83, sizeof(uint32_t))
#define HAX_VM_IOCTL_NOTIFY_QEMU_VERSION_DARWIN \
    HAX_DARWIN(HAX_DARWIN_W, 0x84, sizeof(struct hax_qemu_version))
#define HAX_VM_IOCTL_ADD_RAMBLOCK_DARWIN \
    HAX_DARWIN(HAX_DARWIN_W, 0x85, sizeof(struct hax_ramblock_info))
#define HAX_VM_IOCTL_SET_RAM2_DARWIN \
    HAX_DARWIN(HAX_DARWIN_WR, 0x86, sizeof(struct hax_set_ram_info2))
#define HAX_VM_IOCTL_PROTECT_RAM_DARWIN \
    HAX_DARWIN(HAX_DARWIN_WR, 0x87, sizeof(struct hax_protect_ram_info))

#define HAX_VCPU_IOCTL_RUN_DARWIN      HAX_DARWIN(HAX_DARWIN_N, 0xc0, 0)
#define HAX_VCPU_IOCTL_SET_MSRS_DARWIN HAX_DARWIN(HAX_DARWIN_WR, 0xc1, sizeof(struct hax_msr_data))
#define HAX_VCPU_IOCTL_GET_MSRS_DARWIN HAX_DARWIN(HAX_DARWIN_WR, 0xc2, sizeof(struct hax_msr_data))
#define HAX_VCPU_IOCTL_SET_FPU_DARWIN  HAX_DARWIN(HAX_DARWIN_W, 0xc3, sizeof(struct fx_layout))
#define HAX_VCPU_IOCTL_GET_FPU_DARWIN  HAX_DARWIN(HAX_DARWIN_R, 0xc4, sizeof(struct fx_layout))
#define HAX_VCPU_IOCTL_SETUP_TUNNEL_DARWIN \
    HAX_DARWIN(HAX_DARWIN_WR, 0xc5, sizeof(struct hax_tunnel_info))
#define HAX_VCPU_IOCTL_INTERRUPT_DARWIN HAX_DARWIN(HAX_DARWIN_WR, 0xc6, sizeof(uint32_t))
#define HAX_VCPU_SET_REGS_DARWIN        HAX_DARWIN(HAX_DARWIN_WR, 0xc7, sizeof(struct vcpu_state_t))
#define HAX_VCPU_GET_REGS_DARWIN        HAX_DARWIN(HAX_DARWIN_WR, 0xc8, sizeof(struct vcpu_state_t))
#define HAX_IOCTL_VCPU_DEBUG_DARWIN     HAX_DARWIN(HAX_DARWIN_W, 0xc9, sizeof(struct hax_debug_t))
#define HAX_VCPU_IOCTL_SET_CPUID_DARWIN HAX_DARWIN(HAX_DARWIN_W, 0xca, sizeof(uint64_t))
#define HAX_VCPU_IOCTL_GET_CPUID_DARWIN HAX_DARWIN(HAX_DARWIN_W, 0xcb, sizeof(uint64_t))

/* ---- requests of Windows ---- */

#define HAX_DEVICE_TYPE_WINDOWS 0x4000u
#define HAX_WINDOWS(function)   (HAX_DEVICE_TYPE_WINDOWS << 16 | (function) << 2)

/* CPUID: the buffer is the struct hax_cpuid itself. */
#define HAX_IOCTL_VERSION_WINDOWS      HAX_WINDOWS(0x900)
#define HAX_IOCTL_CREATE_VM_WINDOWS    HAX_WINDOWS(0x901)
#define HAX_IOCTL_CAPABILITY_WINDOWS   HAX_WINDOWS(0x910)
#define HAX_IOCTL_SET_MEMLIMIT_WINDOWS HAX_WINDOWS(0x911)

#define HAX_VM_IOCTL_VCPU_CREATE_WINDOWS         HAX_WINDOWS(0x902)
#define HAX_VM_IOCTL_ALLOC_RAM_WINDOWS           HAX_WINDOWS(0x903)
#define HAX_VM_IOCTL_SET_RAM_WINDOWS             HAX_WINDOWS(0x904)
#define HAX_VM_IOCTL_VCPU_DESTROY_WINDOWS        HAX_WINDOWS(0x905)
#define HAX_VM_IOCTL_NOTIFY_QEMU_VERSION_WINDOWS HAX_WINDOWS(0x910)
#define HAX_VM_IOCTL_ADD_RAMBLOCK_WINDOWS        HAX_WINDOWS(0x913)
#define HAX_VM_IOCTL_SET_RAM2_WINDOWS            HAX_WINDOWS(0x914)
#define HAX_VM_IOCTL_PROTECT_RAM_WINDOWS         HAX_WINDOWS(0x915)

#define HAX_VCPU_IOCTL_RUN_WINDOWS          HAX_WINDOWS(0x906)
#define HAX_VCPU_IOCTL_SET_MSRS_WINDOWS     HAX_WINDOWS(0x907)
#define HAX_VCPU_IOCTL_GET_MSRS_WINDOWS     HAX_WINDOWS(0x908)
#define HAX_VCPU_IOCTL_SET_FPU_WINDOWS      HAX_WINDOWS(0x909)
#define HAX_VCPU_IOCTL_GET_FPU_WINDOWS      HAX_WINDOWS(0x90a)
#define HAX_VCPU_IOCTL_SETUP_TUNNEL_WINDOWS HAX_WINDOWS(0x90b)
#define HAX_VCPU_IOCTL_INTERRUPT_WINDOWS    HAX_WINDOWS(0x90c)
#define HAX_VCPU_SET_REGS_WINDOWS           HAX_WINDOWS(0x90d)
#define HAX_VCPU_GET_REGS_WINDOWS           HAX_WINDOWS(0x90e)
#define HAX_IOCTL_VCPU_DEBUG_WINDOWS        HAX_WINDOWS(0x916)
#define HAX_VCPU_IOCTL_SET_CPUID_WINDOWS    HAX_WINDOWS(0x917)
#define HAX_VCPU_IOCTL_GET_CPUID_WINDOWS    HAX_WINDOWS(0x918)
#define HAX_VCPU_IOCTL_KICKOFF_WINDOWS      HAX_WINDOWS(0x90f)
/* The same number as GET_CPUID. */
#define HAX_VM_IOCTL_REGISTER_LOG_FILE_GHAXM HAX_WINDOWS(0x918)

#endif
