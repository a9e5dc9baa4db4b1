/* SPDX-License-Identifier: BSD-3-Clause */
/* Debugging AArch64 guests. References are to the Arm ARM (DDI 0487), by register names. */
#include <string.h>

#include "kvm/kvm_aarch64.h"

/* ESR_ELx.EC of what comes from below the hypervisor. */
#define EC_BREAKPOINT 0x30u
#define EC_STEP       0x32u
#define EC_WATCHPOINT 0x34u

/*
 * DBGBCRn_EL1: enabled (E, bit 0), at EL1 and EL0 (PMC, bits 2:1), all four bytes of the
 * instruction (BAS, bits 8:5), matching an address that is linked to nothing (BT, bits 23:20, 0).
 */
#define DBGBCR UINT64_C(0x1e7)
/* DBGWCRn_EL1: enabled (E), at EL1 and EL0 (PAC, bits 2:1); LSC, bits 4:3; BAS, bits 12:5. */
#define DBGWCR           UINT64_C(0x7)
#define DBGWCR_STORES    (UINT64_C(2) << 3)
#define DBGWCR_BOTH      (UINT64_C(3) << 3)
#define DBGWCR_BAS_SHIFT 5

/* The registers hold bits 48 (52, 55 where addresses are longer) down to 2 or 3 of an address, and
 * want its sign above. A tag in the top byte is not looked at. */
static uint64_t plain(uint64_t address)
{
    return (uint64_t)((int64_t)(address << 8) >> 8);
}

static void add_watchpoint(struct kvm_guest_debug_arch *arch, size_t n,
                           const visor_breakpoint *point)
{
    uint64_t address = plain(point->address);
    uint64_t bytes = ((UINT64_C(1) << point->length) - 1) << (address & 7);

    arch->dbg_wvr[n] = address & ~UINT64_C(7);
    arch->dbg_wcr[n] = DBGWCR | bytes << DBGWCR_BAS_SHIFT |
                       (point->kind == VISOR_BREAK_WRITE ? DBGWCR_STORES : DBGWCR_BOTH);
}

static int too_many(const char *kind, size_t count, int64_t most)
{
    return visor__error(VISOR_ELIMIT, "kvm", "KVM_SET_GUEST_DEBUG", "%zu %s, but the vCPU has %lld",
                        count, kind, (long long)most);
}

static int set_debug(visor_vcpu *vcpu, const visor_debug_config *config)
{
    struct kvm_aarch64_vcpu *a = kvm_aarch64_vcpu_of(vcpu);
    int64_t breakpoints = kvm_cap(vcpu->vm->hv, vcpu->vm, VISOR_CAP_HW_BREAKPOINTS);
    int64_t watchpoints = kvm_cap(vcpu->vm->hv, vcpu->vm, VISOR_CAP_HW_WATCHPOINTS);
    struct kvm_guest_debug debug = {0};
    size_t executes = 0, watches = 0;
    int ret;

    for (size_t i = 0; i < config->breakpoint_count; i++)
        *(config->breakpoints[i].kind == VISOR_BREAK_EXECUTE ? &executes : &watches) += 1;
    if (executes > (uint64_t)breakpoints)
        return too_many("breakpoints", executes, breakpoints);
    if (watches > (uint64_t)watchpoints)
        return too_many("watchpoints", watches, watchpoints);

    executes = watches = 0;
    for (size_t i = 0; i < config->breakpoint_count; i++) {
        const visor_breakpoint *point = &config->breakpoints[i];

        if (point->kind != VISOR_BREAK_EXECUTE) {
            add_watchpoint(&debug.arch, watches++, point);
            continue;
        }
        debug.arch.dbg_bvr[executes] = plain(point->address);
        debug.arch.dbg_bcr[executes++] = DBGBCR;
    }
    if (config->breakpoint_count > 0)
        debug.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW;
    if (config->single_step)
        debug.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP;
    if (config->software_breakpoints)
        debug.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP;
    ret = KVM_IOCTL(a->common.fd, KVM_SET_GUEST_DEBUG, &debug);
    if (ret < 0)
        return ret;
    a->breakpoint_count = config->breakpoint_count;
    if (a->breakpoint_count > 0)
        memcpy(a->breakpoints, config->breakpoints, a->breakpoint_count * sizeof(*a->breakpoints));
    return 0;
}

const struct visor__debug_ops kvm_debug_ops = {.set = set_debug};

/* ---- the exit ---- */

/* How far an access that begins at address is from what is watched. An access that begins below
 * and reaches into it reports its own address (FAR_ELx). */
static uint64_t distance(const visor_breakpoint *point, uint64_t address)
{
    uint64_t first = plain(point->address), last = first + point->length - 1;

    if (address < first)
        return first - address;
    return address > last ? address - last : 0;
}

static uint32_t watchpoints_hit(const struct kvm_aarch64_vcpu *a, uint64_t address)
{
    uint64_t nearest = UINT64_MAX;
    uint32_t mask = 0;

    for (size_t i = 0; i < a->breakpoint_count; i++) {
        uint64_t away = distance(&a->breakpoints[i], address);

        if (a->breakpoints[i].kind == VISOR_BREAK_EXECUTE || away > nearest)
            continue;
        if (away < nearest)
            mask = 0;
        nearest = away;
        mask |= UINT32_C(1) << i;
    }
    return mask;
}

static uint32_t breakpoints_hit(const struct kvm_aarch64_vcpu *a, uint64_t pc)
{
    uint32_t mask = 0;

    for (size_t i = 0; i < a->breakpoint_count; i++) {
        if (a->breakpoints[i].kind == VISOR_BREAK_EXECUTE &&
            plain(a->breakpoints[i].address) == plain(pc))
            mask |= UINT32_C(1) << i;
    }
    return mask;
}

int kvm_aarch64_debug_exit(visor_vcpu *vcpu)
{
    const struct kvm_aarch64_vcpu *a = kvm_aarch64_vcpu_of(vcpu);
    const struct kvm_debug_exit_arch *debug = &a->common.run->debug.arch;
    visor_exit *exit = &vcpu->exit;
    uint32_t class = debug->hsr >> 26;
    uint64_t pc;
    int ret = kvm_aarch64_get_reg(&pc, vcpu, VISOR_AARCH64_PC);

    if (ret < 0)
        return ret;
    exit->debug.pc = pc;
    exit->debug.address = debug->far;
    exit->debug.dr6 = 0;
    exit->debug.dr7 = 0;
    exit->debug.exception = debug->hsr;
    exit->debug.single_step = class == EC_STEP;
    exit->debug.hit_mask = 0;
    if (class == EC_BREAKPOINT)
        exit->debug.hit_mask = breakpoints_hit(a, pc);
    else if (class == EC_WATCHPOINT)
        exit->debug.hit_mask = watchpoints_hit(a, plain(debug->far));
    return VISOR_EXIT_DEBUG;
}
