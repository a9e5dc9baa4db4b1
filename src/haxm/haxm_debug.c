/* SPDX-License-Identifier: BSD-3-Clause */
/* Breakpoints and single step, which the driver does with the processor's debug registers. */
#include <string.h>

#include "haxm/haxm.h"

/* DR7 (SDM vol. 3B, 18.2.4): a bit that is 1, and for each breakpoint "global", kind and length. */
#define DR7_FIXED 0x400u

static uint64_t control_bits(const visor_breakpoint *breakpoint, unsigned n)
{
    static const uint8_t kinds[] = {
        [VISOR_BREAK_EXECUTE] = 0, [VISOR_BREAK_WRITE] = 1, [VISOR_BREAK_ACCESS] = 3};
    unsigned length = breakpoint->length == 8 ? 2 : breakpoint->length - 1;

    if (breakpoint->kind == VISOR_BREAK_EXECUTE)
        length = 0;
    return UINT64_C(2) << (2 * n) | (uint64_t)(kinds[breakpoint->kind] | length << 2)
                                        << (16 + 4 * n);
}

void haxm_debug_registers(uint64_t out[6], const struct vcpu_state_t *s)
{
    out[0] = s->_dr0, out[1] = s->_dr1, out[2] = s->_dr2, out[3] = s->_dr3;
    out[4] = s->_dr6;
    out[5] = s->_dr7;
}

/* Without breakpoints the driver lets the guest have them, empty. DR6 is the debugger's. */
void haxm_debug_follow(struct haxm_vcpu *v)
{
    uint64_t now[6];

    haxm_debug_registers(now, &v->state);
    for (unsigned i = 0; v->debugging && i < 6; i++) {
        if (i != 4 && now[i] != v->seen_dr[i])
            v->guest_dr[i] = v->seen_dr[i] = now[i];
    }
}

/* Keeps the guest's own debug registers while they are the debugger's. */
static int keep_registers(visor_vcpu *vcpu)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);
    int ret = haxm_load(vcpu);

    if (ret < 0)
        return ret;
    haxm_debug_follow(v);
    if (!v->debugging)
        haxm_debug_registers(v->guest_dr, &v->state);
    return 0;
}

static int give_registers_back(visor_vcpu *vcpu)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);

    v->state._dr0 = v->guest_dr[0], v->state._dr1 = v->guest_dr[1];
    v->state._dr2 = v->guest_dr[2], v->state._dr3 = v->guest_dr[3];
    v->state._dr6 = v->guest_dr[4], v->state._dr7 = v->guest_dr[5];
    return haxm_store(vcpu, "debug registers");
}

static int set_debug(visor_vcpu *vcpu, const visor_debug_config *config)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);
    struct hax_debug_t debug;
    bool was = v->debugging;
    int err, ret;

    if ((haxm_hv_of(vcpu->vm->hv)->features & HAX_CAP_DEBUG) == 0)
        return visor__unsupported(vcpu->vm->hv, "visor_vcpu_set_debug", "the driver is too old");
    ret = keep_registers(vcpu);
    if (ret < 0)
        return ret;
    memset(&debug, 0, sizeof(debug));
    debug.dr[7] = DR7_FIXED;
    for (unsigned i = 0; i < config->breakpoint_count; i++) {
        debug.dr[i] = config->breakpoints[i].address;
        debug.dr[7] |= control_bits(&config->breakpoints[i], i);
    }
    debug.control = (config->single_step ? HAX_DEBUG_STEP : 0u) |
                    (config->software_breakpoints ? HAX_DEBUG_USE_SW_BP : 0u) |
                    (config->breakpoint_count > 0 ? HAX_DEBUG_USE_HW_BP : 0u);
    if (debug.control != 0)
        debug.control |= HAX_DEBUG_ENABLE;
    if (debug.control == 0 && !was)
        return 0;
    err = haxm_call(&v->node, HAXM_DEBUG, &debug, sizeof(debug));
    if (err != 0)
        return haxm_error(HAXM_DEBUG, err, "vCPU %u", vcpu->id);
    v->has_state = false;
    v->debugging = debug.control != 0;
    v->stepping = config->single_step;
    ret = haxm_load(vcpu);
    if (ret < 0)
        return ret;
    haxm_debug_registers(v->seen_dr, &v->state);
    return v->debugging ? 0 : give_registers_back(vcpu);
}

const struct visor__debug_ops haxm_debug_ops = {.set = set_debug};
