/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Delivering NMIs and exceptions by registers and memory, as a processor would (SDM vol. 3A,
 * chapter 6): the driver has no request for either. What only a broken guest has (a limit that is
 * passed, a gate of the wrong type) is refused, and so are task gates and virtual-8086 mode.
 */
#include <string.h>

#include "assist/assist.h"
#include "haxm/haxm.h"

#define CR0_PE   0x1u
#define CR0_PG   0x80000000u
#define CR4_PSE  0x10u
#define CR4_PAE  0x20u
#define CR4_LA57 0x1000u
#define EFER_LMA 0x400u

#define RFLAGS_NT 0x4000u
#define RFLAGS_RF 0x10000u
#define RFLAGS_VM 0x20000u
#define RFLAGS_AC 0x40000u

#define PTE_PRESENT 1u
#define PTE_LARGE   0x80u
#define PTE_ADDRESS 0x000ffffffffff000u

#define PAGE 4096u

/* Segments' bits of access rights as VMX has them. */
#define AR_DPL(ar)     ((ar) >> 5 & 3u)
#define AR_PRESENT     0x80u
#define AR_CODE        0x18u /* S, and a type of code */
#define AR_CONFORMING  0x4u
#define AR_BIG         0x4000u
#define AR_UNUSABLE    0x10000u
#define GATE_INTERRUPT 6u /* 14 without its bit for 32-bit; a trap gate has bit 0 set too */

/* A delivery under way; `failed`: it cannot be done. */
struct delivery {
    visor_vcpu *vcpu;
    struct vcpu_state_t *state;
    bool is_long, failed;
};

/* ---- memory ---- */

static uint64_t entry_of(struct delivery *d, uint64_t gpa, unsigned size)
{
    uint64_t entry = 0;

    if (!visor__assist_memory(d->vcpu->vm, gpa, &entry, size, false) || (entry & PTE_PRESENT) == 0)
        d->failed = true;
    return entry;
}

/* SDM vol. 3A, 4.3 to 4.5. Rights are not looked at: what an operating system has its handlers and
 * their stacks in is there and writable. */
static uint64_t translate(struct delivery *d, uint64_t linear)
{
    const struct vcpu_state_t *s = d->state;
    bool is_pae = (s->_cr4 & CR4_PAE) != 0;
    unsigned bits = is_pae ? 9 : 10, size = is_pae ? 8 : 4;
    unsigned level = d->is_long ? (s->_cr4 & CR4_LA57) != 0 ? 5 : 4 : is_pae ? 3 : 2;
    uint64_t table = s->_cr3 & (d->is_long ? PTE_ADDRESS : is_pae ? 0xffffffe0u : 0xfffff000u);

    if ((s->_cr0 & CR0_PG) == 0)
        return linear;
    for (; level > 0 && !d->failed; level--) {
        unsigned shift = 12 + bits * (level - 1);
        uint64_t index = linear >> shift & ((1u << bits) - 1);
        uint64_t entry = entry_of(d, table + index * size, size);
        uint64_t inside = (UINT64_C(1) << shift) - 1;

        if (level > 1 && (entry & PTE_LARGE) != 0 && (is_pae || (s->_cr4 & CR4_PSE) != 0))
            return (entry & PTE_ADDRESS & ~inside) | (linear & inside);
        table = entry & PTE_ADDRESS;
    }
    return table | (linear & (PAGE - 1));
}

static void copy(struct delivery *d, uint64_t linear, void *data, size_t length, bool is_write)
{
    uint8_t *bytes = data;

    while (length > 0 && !d->failed) {
        size_t part = PAGE - (linear & (PAGE - 1));
        uint64_t gpa = translate(d, linear);

        part = part < length ? part : length;
        if (!d->failed && !visor__assist_memory(d->vcpu->vm, gpa, bytes, part, is_write))
            d->failed = true;
        linear += part;
        bytes += part;
        length -= part;
    }
}

static uint64_t load(struct delivery *d, uint64_t linear, size_t length)
{
    uint64_t value = 0;

    copy(d, d->is_long ? linear : (uint32_t)linear, &value, length, false);
    return value;
}

static void push(struct delivery *d, uint64_t value, size_t length)
{
    struct vcpu_state_t *s = d->state;
    uint64_t mask = d->is_long ? ~UINT64_C(0) : (s->_ss.ar & AR_BIG) != 0 ? 0xffffffffu : 0xffffu;
    uint64_t sp = (s->_rsp - length) & mask;
    uint64_t base = d->is_long ? 0 : s->_ss.base;

    copy(d, d->is_long ? sp : (uint32_t)(base + sp), &value, length, true);
    s->_rsp = (s->_rsp & ~mask) | sp;
}

/* ---- real mode ---- */

static void deliver_real(struct delivery *d, uint8_t vector)
{
    struct vcpu_state_t *s = d->state;
    uint64_t target = load(d, s->_idt.base + 4u * vector, 4);

    push(d, s->_rflags, 2);
    push(d, s->_cs.selector, 2);
    push(d, s->_rip, 2);
    s->_rip = target & 0xffff;
    s->_cs.selector = (uint16_t)(target >> 16);
    s->_cs.base = (uint64_t)s->_cs.selector << 4;
    s->_rflags &= ~(uint64_t)(HAXM_RFLAGS_IF | HAXM_RFLAGS_TF | RFLAGS_RF | RFLAGS_AC);
}

/* ---- protected and long mode ---- */

/* The descriptor of a selector, from the GDT. */
static struct segment_desc_t descriptor(struct delivery *d, uint16_t selector)
{
    visor_x86_segment segment;
    struct segment_desc_t out = {.selector = selector};
    uint64_t offset = selector & 0xfff8u;

    if (offset == 0 || (selector & 4) != 0 || offset + 7 > d->state->_gdt.limit)
        d->failed = true;
    visor_x86_segment_from_descriptor(&segment, load(d, d->state->_gdt.base + offset, 8), selector);
    out.base = segment.base;
    out.limit = segment.limit;
    out.ar = (segment.type & 15u) | (segment.s & 1u) << 4 | (segment.dpl & 3u) << 5 |
             (segment.present & 1u) << 7 | (segment.avl & 1u) << 12 | (segment.l & 1u) << 13 |
             (segment.db & 1u) << 14 | (segment.g & 1u) << 15;
    if ((out.ar & AR_PRESENT) == 0)
        d->failed = true;
    return out;
}

/* Another stack, from the TSS, for handlers of more privilege or with an IST. */
static void switch_stack(struct delivery *d, unsigned dpl, unsigned ist)
{
    struct vcpu_state_t *s = d->state;
    uint64_t tss = s->_tr.base;

    if (d->is_long) {
        s->_rsp = load(d, tss + (ist != 0 ? 28 + 8 * ist : 4 + 8 * dpl), 8);
        if (dpl < AR_DPL(s->_ss.ar))
            s->_ss =
                (struct segment_desc_t){.selector = (uint16_t)dpl, .ar = AR_UNUSABLE | dpl << 5};
        return;
    }
    if ((s->_tr.ar & 15) < 9) /* a TSS of 16 bits */
        d->failed = true;
    s->_rsp = load(d, tss + 4 + 8 * dpl, 4);
    s->_ss = descriptor(d, (uint16_t)load(d, tss + 8 + 8 * dpl, 2));
}

static void deliver_protected(struct delivery *d, uint8_t vector, const uint32_t *error_code)
{
    struct vcpu_state_t *s = d->state;
    const struct vcpu_state_t before = *s;
    uint64_t gate = load(d, s->_idt.base + (d->is_long ? 16u : 8u) * vector, 8);
    uint64_t high = d->is_long ? load(d, s->_idt.base + 16u * vector + 8, 4) : 0;
    unsigned type = gate >> 40 & 31, cpl = AR_DPL(s->_ss.ar), ist = gate >> 32 & 7, dpl;
    bool is_32 = (type & 8) != 0;
    size_t size = d->is_long ? 8 : is_32 ? 4 : 2;
    struct segment_desc_t cs;

    if ((gate >> 47 & 1) == 0 || (type & 0x16) != GATE_INTERRUPT || (d->is_long && !is_32) ||
        (s->_rflags & RFLAGS_VM) != 0)
        d->failed = true;
    cs = descriptor(d, (uint16_t)(gate >> 16));
    dpl = (cs.ar & AR_CONFORMING) != 0 ? cpl : AR_DPL(cs.ar);
    if ((cs.ar & AR_CODE) != AR_CODE || dpl > cpl)
        d->failed = true;
    if (dpl < cpl || (d->is_long && ist != 0))
        switch_stack(d, dpl, d->is_long ? ist : 0);
    if (d->is_long)
        s->_rsp &= ~UINT64_C(15);
    if (d->is_long || dpl < cpl) {
        push(d, before._ss.selector, size);
        push(d, before._rsp, size);
    }
    push(d, before._rflags, size);
    push(d, before._cs.selector, size);
    push(d, before._rip, size);
    if (error_code != NULL)
        push(d, *error_code, size);
    s->_rip = high << 32 | (is_32 ? gate >> 32 & 0xffff0000u : 0) | (gate & 0xffff);
    s->_cs = cs;
    s->_cs.selector = (uint16_t)((cs.selector & ~3u) | dpl);
    s->_cs.ar |= 1; /* accessed */
    s->_rflags &= ~(uint64_t)(HAXM_RFLAGS_TF | RFLAGS_RF | RFLAGS_NT);
    if ((type & 1) == 0)
        s->_rflags &= ~(uint64_t)HAXM_RFLAGS_IF;
}

int haxm_deliver(visor_vcpu *vcpu, uint8_t vector, const uint32_t *error_code)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);
    struct vcpu_state_t before;
    visor_x86_msr efer = {.index = HAXM_MSR_EFER};
    struct delivery d = {.vcpu = vcpu, .state = &v->state};
    int ret = haxm_load(vcpu);

    if (ret == 0 && haxm_get_msrs(&efer, 1, vcpu) != 1)
        ret = visor_error_last()->code;
    if (ret < 0)
        return ret;
    before = v->state;
    if (v->stepping) /* the debugger's, which haxm_store() sets again */
        v->state._rflags &= ~(uint64_t)HAXM_RFLAGS_TF;
    d.is_long = (efer.value & EFER_LMA) != 0;
    if ((before._cr0 & CR0_PE) == 0)
        deliver_real(&d, vector);
    else
        deliver_protected(&d, vector, error_code);
    if (d.failed) {
        v->state = before;
        return 0;
    }
    v->ready = v->ready && (v->state._rflags & HAXM_RFLAGS_IF) != 0;
    ret = haxm_store(vcpu, "an event");
    return ret < 0 ? ret : 1;
}
