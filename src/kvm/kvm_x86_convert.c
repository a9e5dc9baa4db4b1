/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "kvm/kvm_x86_convert.h"

/* ---- segments and control registers ---- */

static void segment_from_kvm(visor_x86_segment *out, const struct kvm_segment *in)
{
    *out = (visor_x86_segment){
        .base = in->base,
        .limit = in->limit,
        .selector = in->selector,
        .type = in->type,
        .present = in->present,
        .dpl = in->dpl,
        .db = in->db,
        .s = in->s,
        .l = in->l,
        .g = in->g,
        .avl = in->avl,
        .unusable = in->unusable,
    };
}

static void segment_to_kvm(struct kvm_segment *out, const visor_x86_segment *in)
{
    *out = (struct kvm_segment){
        .base = in->base,
        .limit = in->limit,
        .selector = in->selector,
        .type = in->type,
        .present = in->present,
        .dpl = in->dpl,
        .db = in->db,
        .s = in->s,
        .l = in->l,
        .g = in->g,
        .avl = in->avl,
        .unusable = in->unusable != 0 || in->present == 0,
    };
}

void kvm_x86_sregs_from_kvm(visor_x86_sregs *out, const struct kvm_sregs *in)
{
    segment_from_kvm(&out->cs, &in->cs);
    segment_from_kvm(&out->ds, &in->ds);
    segment_from_kvm(&out->es, &in->es);
    segment_from_kvm(&out->fs, &in->fs);
    segment_from_kvm(&out->gs, &in->gs);
    segment_from_kvm(&out->ss, &in->ss);
    segment_from_kvm(&out->tr, &in->tr);
    segment_from_kvm(&out->ldt, &in->ldt);
    out->gdt = (visor_x86_table){.base = in->gdt.base, .limit = in->gdt.limit};
    out->idt = (visor_x86_table){.base = in->idt.base, .limit = in->idt.limit};
    out->cr0 = in->cr0;
    out->cr2 = in->cr2;
    out->cr3 = in->cr3;
    out->cr4 = in->cr4;
    out->cr8 = in->cr8;
    out->efer = in->efer;
}

void kvm_x86_sregs_to_kvm(struct kvm_sregs *out, const visor_x86_sregs *in)
{
    segment_to_kvm(&out->cs, &in->cs);
    segment_to_kvm(&out->ds, &in->ds);
    segment_to_kvm(&out->es, &in->es);
    segment_to_kvm(&out->fs, &in->fs);
    segment_to_kvm(&out->gs, &in->gs);
    segment_to_kvm(&out->ss, &in->ss);
    segment_to_kvm(&out->tr, &in->tr);
    segment_to_kvm(&out->ldt, &in->ldt);
    out->gdt = (struct kvm_dtable){.base = in->gdt.base, .limit = in->gdt.limit};
    out->idt = (struct kvm_dtable){.base = in->idt.base, .limit = in->idt.limit};
    out->cr0 = in->cr0;
    out->cr2 = in->cr2;
    out->cr3 = in->cr3;
    out->cr4 = in->cr4;
    out->cr8 = in->cr8;
    out->efer = in->efer;
}

/* ---- x87 and SSE: the first 512 bytes of an XSAVE image (SDM vol. 1, table 10-2) ---- */

void kvm_x86_fpu_from_xsave(visor_x86_fpu *out, const void *image)
{
    const uint8_t *in = image;

    memset(out, 0, sizeof(*out));
    memcpy(&out->fcw, in + 0, 2);
    memcpy(&out->fsw, in + 2, 2);
    memcpy(&out->ftw, in + 4, 1);
    memcpy(&out->last_opcode, in + 6, 2);
    memcpy(&out->last_ip, in + 8, 8);
    memcpy(&out->last_dp, in + 16, 8);
    memcpy(&out->mxcsr, in + 24, 4);
    for (size_t i = 0; i < 8; i++) {
        memcpy(&out->st[i].significand, in + 32 + 16 * i, 8);
        memcpy(&out->st[i].sign_exponent, in + 40 + 16 * i, 2);
    }
    memcpy(out->xmm, in + 160, sizeof(out->xmm));
}

void kvm_x86_fpu_to_xsave(void *image, const visor_x86_fpu *in)
{
    uint8_t *out = image;

    memcpy(out + 0, &in->fcw, 2);
    memcpy(out + 2, &in->fsw, 2);
    memcpy(out + 4, &in->ftw, 1);
    memcpy(out + 6, &in->last_opcode, 2);
    memcpy(out + 8, &in->last_ip, 8);
    memcpy(out + 16, &in->last_dp, 8);
    memcpy(out + 24, &in->mxcsr, 4);
    for (size_t i = 0; i < 8; i++) {
        memset(out + 32 + 16 * i, 0, 16);
        memcpy(out + 32 + 16 * i, &in->st[i].significand, 8);
        memcpy(out + 40 + 16 * i, &in->st[i].sign_exponent, 2);
    }
    memcpy(out + 160, in->xmm, sizeof(in->xmm));
    /* XSTATE_BV: without its bit a component is the initial one, whatever the image says. */
    out[512] |= 3;
}

/* ---- local APIC: register n is the first 4 of 16 bytes ---- */

void kvm_x86_lapic_from_kvm(visor_x86_lapic *out, const struct kvm_lapic_state *in)
{
    for (size_t i = 0; i < 64; i++)
        memcpy(&out->regs[i], &in->regs[16 * i], 4);
}

void kvm_x86_lapic_to_kvm(struct kvm_lapic_state *out, const visor_x86_lapic *in)
{
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < 64; i++)
        memcpy(&out->regs[16 * i], &in->regs[i], 4);
}

/* ---- chips of the VM ---- */

void kvm_x86_ioapic_from_kvm(visor_x86_ioapic *out, const struct kvm_ioapic_state *in)
{
    *out = (visor_x86_ioapic){
        .base_address = in->base_address,
        .id = in->id,
        .irr = in->irr,
        .ioregsel = in->ioregsel,
    };
    for (int i = 0; i < VISOR_X86_IOAPIC_PINS; i++)
        out->redirect[i] = in->redirtbl[i].bits;
}

void kvm_x86_ioapic_to_kvm(struct kvm_ioapic_state *out, const visor_x86_ioapic *in)
{
    *out = (struct kvm_ioapic_state){
        .base_address = in->base_address,
        .id = in->id,
        .irr = in->irr,
        .ioregsel = in->ioregsel,
    };
    for (int i = 0; i < VISOR_X86_IOAPIC_PINS; i++)
        out->redirtbl[i].bits = in->redirect[i];
}

/* The kernel keeps no reload value, only the latched low byte of a count that is being written. */
void kvm_x86_pit_from_kvm(visor_x86_pit *out, const struct kvm_pit_state2 *in)
{
    memset(out, 0, sizeof(*out));
    out->flags = in->flags;
    for (int i = 0; i < 3; i++) {
        const struct kvm_pit_channel_state *from = &in->channels[i];

        out->channel[i] = (visor_x86_pit_channel){
            .count = from->count,
            .latched_count = from->latched_count,
            .reload_value = from->write_latch,
            .count_latched = from->count_latched,
            .status_latched = from->status_latched,
            .status = from->status,
            .read_state = from->read_state,
            .write_state = from->write_state,
            .rw_mode = from->rw_mode,
            .mode = from->mode,
            .bcd = from->bcd,
            .gate = from->gate,
            .load_time = (uint64_t)from->count_load_time,
        };
    }
}

void kvm_x86_pit_to_kvm(struct kvm_pit_state2 *out, const visor_x86_pit *in)
{
    memset(out, 0, sizeof(*out));
    out->flags = in->flags;
    for (int i = 0; i < 3; i++) {
        const visor_x86_pit_channel *from = &in->channel[i];

        out->channels[i] = (struct kvm_pit_channel_state){
            .count = from->count,
            .latched_count = from->latched_count,
            .count_latched = from->count_latched,
            .status_latched = from->status_latched,
            .status = from->status,
            .read_state = from->read_state,
            .write_state = from->write_state,
            .write_latch = (uint8_t)from->reload_value,
            .rw_mode = from->rw_mode,
            .mode = from->mode,
            .bcd = from->bcd,
            .gate = from->gate,
            .count_load_time = (int64_t)from->load_time,
        };
    }
}

/* ---- events ---- */

void kvm_x86_events_from_kvm(visor_x86_events *out, const struct kvm_vcpu_events *in)
{
    memset(out, 0, sizeof(*out));
    out->exception.injected = in->exception.injected;
    out->exception.vector = in->exception.nr;
    out->exception.has_error_code = in->exception.has_error_code;
    out->exception.error_code = in->exception.error_code;
    if ((in->flags & KVM_VCPUEVENT_VALID_PAYLOAD) != 0) {
        out->exception.has_pending = 1;
        out->exception.pending = in->exception.pending;
        out->exception.has_payload = in->exception_has_payload;
        out->exception.payload = in->exception_payload;
    }
    out->interrupt.injected = in->interrupt.injected;
    out->interrupt.vector = in->interrupt.nr;
    out->interrupt.soft = in->interrupt.soft;
    if ((in->flags & KVM_VCPUEVENT_VALID_SHADOW) != 0) {
        out->interrupt.has_shadow = 1;
        out->interrupt.shadow = in->interrupt.shadow;
    }
    out->nmi.injected = in->nmi.injected;
    out->nmi.masked = in->nmi.masked;
    if ((in->flags & KVM_VCPUEVENT_VALID_NMI_PENDING) != 0) {
        out->nmi.has_pending = 1;
        out->nmi.pending = in->nmi.pending;
    }
    if ((in->flags & KVM_VCPUEVENT_VALID_SMM) != 0) {
        out->smi.has_smm = 1;
        out->smi.smm = in->smi.smm;
        out->smi.pending = in->smi.pending;
        out->smi.inside_nmi = in->smi.smm_inside_nmi;
        out->smi.latched_init = in->smi.latched_init;
    }
    if ((in->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT) != 0) {
        out->triple_fault.has_pending = 1;
        out->triple_fault.pending = in->triple_fault.pending;
    }
    if ((in->flags & KVM_VCPUEVENT_VALID_SIPI_VECTOR) != 0) {
        out->has_sipi_vector = 1;
        out->sipi_vector = in->sipi_vector;
    }
}

static uint32_t reported(const visor_x86_events *in)
{
    uint32_t flags = 0;

    if (in->exception.has_pending != 0)
        flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
    if (in->interrupt.has_shadow != 0)
        flags |= KVM_VCPUEVENT_VALID_SHADOW;
    if (in->nmi.has_pending != 0)
        flags |= KVM_VCPUEVENT_VALID_NMI_PENDING;
    if (in->smi.has_smm != 0)
        flags |= KVM_VCPUEVENT_VALID_SMM;
    if (in->triple_fault.has_pending != 0)
        flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
    if (in->has_sipi_vector != 0)
        flags |= KVM_VCPUEVENT_VALID_SIPI_VECTOR;
    return flags;
}

void kvm_x86_events_to_kvm(struct kvm_vcpu_events *out, const visor_x86_events *in, uint32_t valid)
{
    memset(out, 0, sizeof(*out));
    out->flags = reported(in) & valid;
    out->exception.injected = in->exception.injected;
    out->exception.nr = in->exception.vector;
    out->exception.has_error_code = in->exception.has_error_code;
    out->exception.error_code = in->exception.error_code;
    if ((out->flags & KVM_VCPUEVENT_VALID_PAYLOAD) != 0) {
        out->exception.pending = in->exception.pending;
        out->exception_has_payload = in->exception.has_payload;
        out->exception_payload = in->exception.payload;
    } else if (in->exception.has_pending != 0 && in->exception.pending != 0) {
        out->exception.injected = 1; /* such a kernel has one word for both */
    }
    out->interrupt.injected = in->interrupt.injected;
    out->interrupt.nr = in->interrupt.vector;
    out->interrupt.soft = in->interrupt.soft;
    out->nmi.injected = in->nmi.injected;
    out->nmi.masked = in->nmi.masked;
    if ((out->flags & KVM_VCPUEVENT_VALID_SHADOW) != 0)
        out->interrupt.shadow = in->interrupt.shadow;
    if ((out->flags & KVM_VCPUEVENT_VALID_NMI_PENDING) != 0)
        out->nmi.pending = in->nmi.pending;
    if ((out->flags & KVM_VCPUEVENT_VALID_SMM) != 0) {
        out->smi.smm = in->smi.smm;
        out->smi.pending = in->smi.pending;
        out->smi.smm_inside_nmi = in->smi.inside_nmi;
        out->smi.latched_init = in->smi.latched_init;
    }
    if ((out->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT) != 0)
        out->triple_fault.pending = in->triple_fault.pending;
    if ((out->flags & KVM_VCPUEVENT_VALID_SIPI_VECTOR) != 0)
        out->sipi_vector = in->sipi_vector;
}
