/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest memory by linear addresses, and instructions as far as the driver's emulator has them. */
#include <string.h>

#include "haxm_machine.h"

#define CR0_PG   0x80000000u
#define CR0_PE   1u
#define CR4_PSE  0x10u
#define CR4_PAE  0x20u
#define CR4_LA57 0x1000u
#define EFER_LMA 0x400u

#define PTE_PRESENT 1u
#define PTE_LARGE   0x80u
#define PTE_ADDRESS 0x000ffffffffff000ull

/* ---- memory ---- */

static void *host_of(struct vcpu_double *v, uint64_t gpa)
{
    const struct range *range = driver_range_of(v->vm, gpa);

    return range == NULL ? NULL : (void *)(uintptr_t)(range->va + (gpa - range->gpa));
}

static bool read_entry(struct vcpu_double *v, uint64_t gpa, unsigned size, uint64_t *out)
{
    const void *host = host_of(v, gpa);

    *out = 0;
    if (host == NULL)
        return false;
    memcpy(out, host, size);
    return (*out & PTE_PRESENT) != 0;
}

/* SDM vol. 3A, chapter 4; rights are not looked at, nor by the driver. */
static bool translate(struct vcpu_double *v, const visor_x86_sregs *s, uint64_t linear,
                      uint64_t *out)
{
    bool is_long = (s->efer & EFER_LMA) != 0, is_pae = (s->cr4 & CR4_PAE) != 0;
    unsigned bits = is_pae ? 9 : 10, size = is_pae ? 8 : 4;
    unsigned levels = is_long ? (s->cr4 & CR4_LA57) != 0 ? 5 : 4 : is_pae ? 3 : 2;
    uint64_t table = s->cr3 & (is_long ? PTE_ADDRESS : is_pae ? 0xffffffe0u : 0xfffff000u);

    *out = linear;
    if ((s->cr0 & CR0_PG) == 0)
        return true;
    for (unsigned level = levels; level > 0; level--) {
        unsigned shift = 12 + bits * (level - 1);
        uint64_t index = linear >> shift & ((1u << bits) - 1), entry;

        if (!is_long && is_pae && level == 3)
            index &= 3;
        if (!read_entry(v, table + index * size, size, &entry))
            return false;
        if (level > 1 && (entry & PTE_LARGE) != 0 && (is_pae || (s->cr4 & CR4_PSE) != 0)) {
            *out =
                (entry & PTE_ADDRESS & ~((1ull << shift) - 1)) | (linear & ((1ull << shift) - 1));
            return true;
        }
        table = entry & PTE_ADDRESS;
    }
    *out = table | (linear & 0xfff);
    return true;
}

static size_t copy_linear(struct vcpu_double *v, uint64_t linear, uint8_t *data, size_t length,
                          bool is_write)
{
    visor_x86_sregs sregs;
    size_t done = 0;

    driver_sregs(v, &sregs);
    while (done < length) {
        size_t part = 4096 - ((linear + done) & 4095);
        uint64_t gpa;
        void *host;

        if (!translate(v, &sregs, linear + done, &gpa) || (host = host_of(v, gpa)) == NULL)
            break;
        if (part > length - done)
            part = length - done;
        if (is_write)
            memcpy(host, data + done, part);
        else
            memcpy(data + done, host, part);
        done += part;
    }
    return done;
}

size_t driver_read_linear(struct vcpu_double *v, uint64_t linear, void *out, size_t length)
{
    return copy_linear(v, linear, out, length, false);
}

size_t driver_write_linear(struct vcpu_double *v, uint64_t linear, const void *data, size_t length)
{
    uint8_t copy[IOS_MAX_BUFFER];

    memcpy(copy, data, length);
    return copy_linear(v, linear, copy, length, true);
}

/* ---- instructions ---- */

/* Takes a prefix. Returns false for what is none. */
static bool take_prefix(struct insn *insn, uint8_t byte, bool *address_prefix)
{
    switch (byte) {
    case 0x66: insn->operand_16 = !insn->operand_16; return true;
    case 0x67: *address_prefix = true; return true;
    case 0xf2:
    case 0xf3: insn->rep = true; return true;
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
    case 0x64:
    case 0x65: insn->segment = byte; return true;
    case 0xf0: return true;
    default: return false;
    }
}

void driver_decode(struct insn *out, struct vcpu_double *v, const visor_x86_regs *regs,
                   const visor_x86_sregs *sregs)
{
    bool is_64 = (sregs->efer & EFER_LMA) != 0 && sregs->cs.l, address_prefix = false;
    bool is_16 = !is_64 && ((sregs->cr0 & CR0_PE) == 0 || !sregs->cs.db);
    uint64_t linear = is_64 ? regs->rip : (uint32_t)(sregs->cs.base + regs->rip);

    memset(out, 0, sizeof(*out));
    out->length = (unsigned)driver_read_linear(v, linear, out->bytes, sizeof(out->bytes));
    while (out->at < out->length && take_prefix(out, out->bytes[out->at], &address_prefix))
        out->at++;
    if (is_64 && out->at < out->length && (out->bytes[out->at] & 0xf0) == 0x40)
        out->at++; /* REX */
    if (out->at < out->length)
        out->opcode = out->bytes[out->at];
    out->wide_address = is_64 && !address_prefix;
    out->narrow_address = !is_64 && is_16 != address_prefix;
}

/* The rows of the driver's table (core/emulate.c) that access memory, ModRM where it matters. */
static bool one_byte(uint8_t opcode, unsigned reg)
{
    if (opcode < 0x40)
        return (opcode & 7) < 4; /* arithmetic with a ModRM */
    switch (opcode) {
    case 0x80:
    case 0x81:
    case 0x82:
    case 0x83:
    case 0x84: /* TEST */
    case 0x85:
    case 0x88: /* MOV */
    case 0x89:
    case 0x8a:
    case 0x8b:
    case 0xa0:
    case 0xa1:
    case 0xa2:
    case 0xa3:
    case 0xa4: /* MOVS */
    case 0xa5:
    case 0xa6: /* CMPS */
    case 0xa7:
    case 0xaa: /* STOS */
    case 0xab:
    case 0xac: /* LODS */
    case 0xad: return true;
    case 0x8f: /* POP */
    case 0xc6: /* MOV */
    case 0xc7: return reg == 0;
    case 0xf6: /* TEST, NOT, NEG */
    case 0xf7: return reg < 4;
    case 0xff: return reg == 6; /* PUSH */
    default: return false;
    }
}

static bool two_bytes(uint8_t opcode, unsigned reg)
{
    switch (opcode) {
    case 0xa3: /* BT, BTS, BTR, BTC */
    case 0xab:
    case 0xb3:
    case 0xbb:
    case 0xb6: /* MOVZX */
    case 0xb7:
    case 0xbe: /* MOVSX */
    case 0xbf: return true;
    case 0xba: return reg >= 4;
    default: return false;
    }
}

bool driver_can_emulate(struct vcpu_double *v)
{
    visor_x86_regs regs;
    visor_x86_sregs sregs;
    struct insn insn;

    SOFT_OK(visor_x86_get_regs(&regs, v->vcpu));
    driver_sregs(v, &sregs);
    driver_decode(&insn, v, &regs, &sregs);
    if (insn.at + 2 > insn.length)
        return false;
    if (insn.opcode == 0x0f && insn.at + 3 <= insn.length)
        return two_bytes(insn.bytes[insn.at + 1], insn.bytes[insn.at + 2] >> 3 & 7);
    return one_byte(insn.opcode, insn.bytes[insn.at + 1] >> 3 & 7);
}
