/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Numbers of <linux/kvm.h> that came after Linux 6.1, whose header Debian 12 ships, with the
 * version that brought each. The kernel that runs may be newer than the header that we build with.
 */
#ifndef VISOR_UAPI_LINUX_KVM_NEW_H
#define VISOR_UAPI_LINUX_KVM_NEW_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Old, but not in the headers of architectures that could not debug guests then. */
#ifndef KVM_CAP_SET_GUEST_DEBUG
#define KVM_CAP_SET_GUEST_DEBUG 23
#endif

/* Linux 6.8 */
#ifndef KVM_CAP_USER_MEMORY2
#define KVM_CAP_USER_MEMORY2 231

struct kvm_userspace_memory_region2 {
    __u32 slot;
    __u32 flags;
    __u64 guest_phys_addr;
    __u64 memory_size; /* bytes */
    __u64 userspace_addr;
    __u64 guest_memfd_offset;
    __u32 guest_memfd;
    __u32 pad1;
    __u64 pad2[14];
};
#define KVM_SET_USER_MEMORY_REGION2 _IOW(KVMIO, 0x49, struct kvm_userspace_memory_region2)
#endif

#ifndef KVM_CAP_MEMORY_FAULT_INFO
#define KVM_CAP_MEMORY_FAULT_INFO 232
#endif
#ifndef KVM_EXIT_MEMORY_FAULT
#define KVM_EXIT_MEMORY_FAULT 39
#endif
/* The payload of KVM_EXIT_MEMORY_FAULT, at the start of the union in struct kvm_run. */
struct kvm_exit_memory_fault {
    __u64 flags;
    __u64 gpa;
    __u64 size; /* bytes */
};
#ifndef KVM_MEMORY_EXIT_FLAG_PRIVATE
#define KVM_MEMORY_EXIT_FLAG_PRIVATE (1ULL << 3)
#endif

/* Arm: dirty rings, time, hypercalls. */

/* Linux 6.3. Where an architecture has dirty rings, they are at this page of a vCPU's mapping; its
 * older headers say 0. */
#if !defined(KVM_DIRTY_LOG_PAGE_OFFSET) || KVM_DIRTY_LOG_PAGE_OFFSET == 0
#undef KVM_DIRTY_LOG_PAGE_OFFSET
#define KVM_DIRTY_LOG_PAGE_OFFSET 64
#endif
#ifndef KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP
#define KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP 225
#endif

/* Linux 6.4 */
#ifndef KVM_CAP_COUNTER_OFFSET
#define KVM_CAP_COUNTER_OFFSET 227

struct kvm_arm_counter_offset {
    __u64 counter_offset;
    __u64 reserved;
};
#define KVM_ARM_SET_COUNTER_OFFSET _IOW(KVMIO, 0xb5, struct kvm_arm_counter_offset)
#endif

/* Linux 6.4: attributes of a VM, and the flags of KVM_EXIT_HYPERCALL. */
#ifndef KVM_ARM_VM_SMCCC_CTRL
#define KVM_ARM_VM_SMCCC_CTRL   0
#define KVM_ARM_VM_SMCCC_FILTER 0

enum kvm_smccc_filter_action {
    KVM_SMCCC_FILTER_HANDLE = 0,
    KVM_SMCCC_FILTER_DENY,
    KVM_SMCCC_FILTER_FWD_TO_USER,
};

struct kvm_smccc_filter {
    __u32 base;
    __u32 nr_functions;
    __u8 action;
    __u8 pad[15];
};
#endif

/* Linux 6.16 */
#ifndef KVM_CAP_ARM_EL2
#define KVM_CAP_ARM_EL2 240
#endif
#ifndef KVM_ARM_VCPU_HAS_EL2
#define KVM_ARM_VCPU_HAS_EL2 7
#endif

/* Out of tree (Android's kernels): a VM whose memory the host cannot read. */
#ifndef KVM_VM_TYPE_ARM_PROTECTED
#define KVM_VM_TYPE_ARM_PROTECTED (1UL << 31)
#endif

/* Out of tree (Android's and ChromeOS's kernels): protected VMs. The flags and the structure are
 * the same for both capabilities. */
#define KVM_CAP_ARM_PROTECTED_VM          0xffbadab1
#define KVM_CAP_X86_PROTECTED_VM          0xffbadab2
#define KVM_CAP_PROTECTED_VM_FLAGS_SET_FW 0
#define KVM_CAP_PROTECTED_VM_FLAGS_INFO   1
#define KVM_X86_PKVM_PROTECTED_VM         28
struct kvm_protected_vm_info {
    __u64 firmware_size; /* bytes */
    __u64 reserved[7];
};

/* Out of tree (ChromeOS): see kvm_memory.c. */
#define KVM_CAP_NONCOHERENT_DMA_5_15 236
#define KVM_CAP_NONCOHERENT_DMA_6_12 239
#define KVM_MEM_NON_COHERENT_DMA     (1U << 3)

#endif
