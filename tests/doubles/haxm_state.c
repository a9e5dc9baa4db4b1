/* SPDX-License-Identifier: BSD-3-Clause */
/* Registers of a vCPU of the double of HAXM, in the driver's structures. */
#include <string.h>

#include "haxm_machine.h"

#define CR0_PG  0x80000000u
#define CR4_PAE 0x20u

#define EFER_LME 0x100u
#define EFER_LMA 0x400u

#define RFLAGS_TF 0x100u

#define AR_UNUSABLE 0x10000u

#define DR6_INIT 0xffff0ff0u
#define DR7_INIT 0x400u

/* ---- segments and control registers ---- */

static struct segment_desc_t to_driver(const visor_x86_segment *s)
{
    return (struct segment_desc_t){
        .selector = s->selector,
        .limit = s->limit,
        .base = s->base,
        .ar = (uint32_t)s->type | (uint32_t)s->s << 4 | (uint32_t)s->dpl << 5 |
              (uint32_t)s->present << 7 | (uint32_t)s->avl << 12 | (uint32_t)s->l << 13 |
              (uint32_t)s->db << 14 | (uint32_t)s->g << 15 | (s->unusable ? AR_UNUSABLE : 0)};
}

static visor_x86_segment from_driver(const struct segment_desc_t *d)
{
    return (visor_x86_segment){.base = d->base,
                               .limit = d->limit,
                               .selector = d->selector,
                               .type = d->ar & 15,
                               .s = d->ar >> 4 & 1,
                               .dpl = d->ar >> 5 & 3,
                               .present = d->ar >> 7 & 1,
                               .avl = d->ar >> 12 & 1,
                               .l = d->ar >> 13 & 1,
                               .db = d->ar >> 14 & 1,
                               .g = d->ar >> 15 & 1,
                               .unusable = (d->ar & AR_UNUSABLE) != 0};
}

void driver_sregs(struct vcpu_double *v, visor_x86_sregs *out)
{
    if (v->dirty_sregs)
        *out = v->sregs;
    else
        SOFT_OK(visor_x86_get_sregs(out, v->vcpu));
}

bool driver_sregs_flush(struct vcpu_double *v)
{
    if (!v->dirty_sregs)
        return true;
    if (visor_x86_set_sregs(v->vcpu, &v->sregs) < 0)
        return false;
    v->dirty_sregs = false;
    return true;
}

static void follow_efer(visor_x86_sregs *sregs)
{
    bool lma = (sregs->cr0 & CR0_PG) != 0 && (sregs->efer & EFER_LME) != 0;

    sregs->efer = (sregs->efer & ~(uint64_t)EFER_LMA) | (lma ? EFER_LMA : 0);
}

void driver_efer_set(struct vcpu_double *v, uint64_t value)
{
    driver_sregs(v, &v->sregs);
    v->sregs.efer = value;
    follow_efer(&v->sregs);
    v->dirty_sregs = true;
}

static void set_sregs(struct vcpu_double *v, const struct vcpu_state_t *in)
{
    visor_x86_sregs now, *s = &v->sregs;
    bool changed;

    driver_sregs(v, &now);
    *s = now;
    s->cs = from_driver(&in->_cs), s->ds = from_driver(&in->_ds), s->es = from_driver(&in->_es);
    s->fs = from_driver(&in->_fs), s->gs = from_driver(&in->_gs), s->ss = from_driver(&in->_ss);
    s->tr = from_driver(&in->_tr), s->ldt = from_driver(&in->_ldt);
    s->gdt.base = in->_gdt.base, s->gdt.limit = (uint16_t)in->_gdt.limit;
    s->idt.base = in->_idt.base, s->idt.limit = (uint16_t)in->_idt.limit;
    s->cr0 = in->_cr0, s->cr2 = in->_cr2, s->cr3 = in->_cr3, s->cr4 = in->_cr4;
    changed = s->cr0 != now.cr0 || s->cr2 != now.cr2 || s->cr3 != now.cr3 || s->cr4 != now.cr4;
    if (changed && (s->cr4 & CR4_PAE) == 0 && (s->cr0 & CR0_PG) != 0)
        s->efer = 0;
    if (changed)
        follow_efer(s);
    if ((s->cr0 != now.cr0 || s->cr3 != now.cr3 || s->cr4 != now.cr4) && (s->cr0 & CR0_PG) != 0 &&
        (s->cr4 & CR4_PAE) != 0 && (s->efer & EFER_LMA) == 0)
        double_die("PAE paging is set, and the driver does not load its PDPTEs");
    if (memcmp(s, &now, sizeof(now)) != 0)
        v->dirty_sregs = true;
}

/* ---- the structure ---- */

void driver_regs_get(struct vcpu_double *v, struct vcpu_state_t *out)
{
    visor_x86_debugregs debugregs;
    visor_x86_sregs s;
    visor_x86_regs r;

    SOFT_OK(visor_x86_get_regs(&r, v->vcpu));
    SOFT_OK(visor_x86_get_debugregs(&debugregs, v->vcpu));
    driver_sregs(v, &s);
    memset(out, 0x5a, sizeof(*out)); /* what was on the kernel's stack */
    out->_rax = r.rax, out->_rcx = r.rcx, out->_rdx = r.rdx, out->_rbx = r.rbx;
    out->_rsp = r.rsp, out->_rbp = r.rbp, out->_rsi = r.rsi, out->_rdi = r.rdi;
    memcpy(&out->_r8, &r.r8, 8 * sizeof(r.r8));
    out->_rip = r.rip;
    out->_rflags = r.rflags | ((v->debug_control & HAX_DEBUG_STEP) != 0 ? RFLAGS_TF : 0);
    out->_cs = to_driver(&s.cs), out->_ds = to_driver(&s.ds), out->_es = to_driver(&s.es);
    out->_fs = to_driver(&s.fs), out->_gs = to_driver(&s.gs), out->_ss = to_driver(&s.ss);
    out->_tr = to_driver(&s.tr), out->_ldt = to_driver(&s.ldt);
    out->_gdt.base = s.gdt.base, out->_gdt.limit = s.gdt.limit;
    out->_idt.base = s.idt.base, out->_idt.limit = s.idt.limit;
    out->_cr0 = s.cr0, out->_cr2 = s.cr2, out->_cr3 = s.cr3, out->_cr4 = s.cr4;
    out->_dr0 = debugregs.db[0], out->_dr1 = debugregs.db[1];
    out->_dr2 = debugregs.db[2], out->_dr3 = debugregs.db[3];
    out->_dr6 = debugregs.dr6, out->_dr7 = debugregs.dr7;
}

static void set_debugregs(struct vcpu_double *v, const struct vcpu_state_t *in)
{
    const visor_x86_debugregs debugregs = {.db = {in->_dr0, in->_dr1, in->_dr2, in->_dr3},
                                           .dr6 = (in->_dr6 & 0x1e00f) | DR6_INIT,
                                           .dr7 = (in->_dr7 & 0xffff2bff) | DR7_INIT};

    SOFT_OK(visor_x86_set_debugregs(v->vcpu, &debugregs));
}

void driver_regs_set(struct vcpu_double *v, struct vcpu_state_t *in)
{
    visor_x86_regs r;

    if (v->emulating)
        double_die("registers are set while the driver emulates an instruction");
    r = (visor_x86_regs){.rax = in->_rax, .rcx = in->_rcx, .rdx = in->_rdx, .rbx = in->_rbx};
    r.rsp = in->_rsp, r.rbp = in->_rbp, r.rsi = in->_rsi, r.rdi = in->_rdi;
    memcpy(&r.r8, &in->_r8, 8 * sizeof(r.r8));
    r.rip = in->_rip;
    r.rflags = in->_rflags;
    if ((v->debug_control & HAX_DEBUG_STEP) != 0) {
        if ((r.rflags & RFLAGS_TF) == 0)
            double_die("single step is switched off by SET_REGS");
        r.rflags &= ~(uint64_t)RFLAGS_TF;
    }
    if (v->carried) { /* the rest of string I/O begins anew, from these registers */
        v->carried = false;
        SOFT_OK(visor_vcpu_settle(v->vcpu));
    }
    SOFT_OK(visor_x86_set_regs(v->vcpu, &r));
    set_sregs(v, in);
    if ((v->debug_control & HAX_DEBUG_ENABLE) == 0)
        set_debugregs(v, in);
}

/* ---- FPU ---- */

void driver_fpu_get(struct vcpu_double *v, struct fx_layout *out)
{
    visor_x86_fpu fpu;

    SOFT_OK(visor_x86_get_fpu(&fpu, v->vcpu));
    memset(out, 0, sizeof(*out));
    for (unsigned i = 0; i < 8; i++) {
        memcpy(out->st_mm[i], &fpu.st[i].significand, 8);
        memcpy(out->st_mm[i] + 8, &fpu.st[i].sign_exponent, 2);
    }
    memcpy(out->mmx_1, fpu.xmm[0], sizeof(out->mmx_1));
    memcpy(out->mmx_2, fpu.xmm[8], sizeof(out->mmx_2));
    out->fpu_ip = fpu.last_ip;
    out->fpu_dp = fpu.last_dp;
    out->mxcsr = fpu.mxcsr;
    out->mxcsr_mask = 0xffff;
    out->fcw = fpu.fcw;
    out->fsw = fpu.fsw;
    out->fop = fpu.last_opcode;
    out->ftw = fpu.ftw;
}

void driver_fpu_set(struct vcpu_double *v, const struct fx_layout *in)
{
    visor_x86_fpu fpu;

    memset(&fpu, 0, sizeof(fpu));
    for (unsigned i = 0; i < 8; i++) {
        memcpy(&fpu.st[i].significand, in->st_mm[i], 8);
        memcpy(&fpu.st[i].sign_exponent, in->st_mm[i] + 8, 2);
    }
    memcpy(fpu.xmm[0], in->mmx_1, sizeof(in->mmx_1));
    memcpy(fpu.xmm[8], in->mmx_2, sizeof(in->mmx_2));
    fpu.last_ip = in->fpu_ip;
    fpu.last_dp = in->fpu_dp;
    fpu.mxcsr = in->mxcsr;
    fpu.fcw = in->fcw;
    fpu.fsw = in->fsw;
    fpu.last_opcode = in->fop;
    fpu.ftw = in->ftw;
    if (visor_x86_set_fpu(v->vcpu, &fpu) < 0)
        double_die("FXRSTOR faults in the driver: mxcsr 0x%x", in->mxcsr);
}

/* ---- debugging ---- */

static size_t breakpoints(visor_breakpoint *out, const struct hax_debug_t *debug)
{
    static const visor_breakpoint_kind kinds[] = {VISOR_BREAK_EXECUTE, VISOR_BREAK_WRITE,
                                                  VISOR_BREAK_ACCESS, VISOR_BREAK_ACCESS};
    static const uint8_t lengths[] = {1, 2, 8, 4};
    uint64_t dr7 = debug->dr[7];
    size_t count = 0;

    for (unsigned i = 0; i < 4; i++) {
        unsigned control = dr7 >> (16 + 4 * i) & 15;

        if ((dr7 >> (2 * i) & 3) == 0)
            continue;
        /* Which one was hit is told by its place. */
        if (count != i)
            double_die("breakpoint %zu is off, and a later one on", count);
        out[count++] = (visor_breakpoint){
            .address = debug->dr[i], .length = lengths[control >> 2], .kind = kinds[control & 3]};
    }
    return count;
}

void driver_debug_set(struct vcpu_double *v, const struct hax_debug_t *debug)
{
    const visor_x86_debugregs cleared = {.dr6 = DR6_INIT, .dr7 = DR7_INIT};
    visor_debug_config config = VISOR_DEBUG_CONFIG_INIT;
    visor_breakpoint list[4];

    v->debug_control = (debug->control & HAX_DEBUG_ENABLE) != 0 ? debug->control : 0;
    config.single_step = (v->debug_control & HAX_DEBUG_STEP) != 0;
    config.software_breakpoints = (v->debug_control & HAX_DEBUG_USE_SW_BP) != 0;
    config.breakpoints = list;
    if ((v->debug_control & HAX_DEBUG_USE_HW_BP) != 0)
        config.breakpoint_count = breakpoints(list, debug);
    SOFT_OK(visor_x86_set_debugregs(v->vcpu, &cleared));
    SOFT_OK(visor_vcpu_set_debug(v->vcpu, &config));
}
