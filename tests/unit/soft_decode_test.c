/* SPDX-License-Identifier: BSD-3-Clause */
/* The x86 decoder: cases where the encoding has a trick. soft_zydis_test has the breadth. */
#include "soft/decode.h"
#include "unit.h"

static struct soft_insn insn;

/* Decodes in mode; the result goes to `insn`. */
#define DECODE(mode, ...)                                                                \
    soft_decode(&insn, (const uint8_t[]){__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__}), \
                SOFT_MODE_##mode)

static bool operand_is(unsigned n, enum soft_operand_kind kind, unsigned reg, unsigned size)
{
    return n < insn.operand_count && insn.operand[n].kind == kind && insn.operand[n].reg == reg &&
           insn.operand[n].size == size;
}

static bool memory_is(uint8_t base, uint8_t index, unsigned scale, int64_t disp)
{
    return insn.memory.base == base && insn.memory.index == index && insn.memory.scale == scale &&
           insn.memory.disp == disp;
}

TEST(names)
{
    CHECK_STR(soft_insn_name(SOFT_INSN_ADD), "ADD");
}

TEST(operand_sizes)
{
    /* add [rax], cl; add eax, ecx; add ax, cx; add rax, rcx */
    CHECK_INT(DECODE(64, 0x00, 0x08), 2);
    CHECK_INT(insn.id, SOFT_INSN_ADD);
    CHECK_INT(insn.operand_size, 1);
    CHECK(operand_is(0, SOFT_OPERAND_MEM, 0, 1));
    CHECK(memory_is(0, SOFT_REG_NONE, 0, 0));
    CHECK_INT(insn.memory.segment, SOFT_SEG_DS);
    CHECK(operand_is(1, SOFT_OPERAND_GPR, 1, 1));
    CHECK_INT(DECODE(64, 0x01, 0xc8), 2);
    CHECK(operand_is(0, SOFT_OPERAND_GPR, 0, 4));
    CHECK_INT(DECODE(16, 0x01, 0xc8), 2);
    CHECK_INT(insn.operand_size, 2);
    CHECK_INT(DECODE(16, 0x66, 0x01, 0xc8), 3);
    CHECK_INT(insn.operand_size, 4);
    CHECK_INT(DECODE(32, 0x66, 0x01, 0xc8), 3);
    CHECK_INT(insn.operand_size, 2);
    /* REX.W wins over 66 */
    CHECK_INT(DECODE(64, 0x66, 0x48, 0x01, 0xc8), 4);
    CHECK_INT(insn.operand_size, 8);
}

TEST(stack_and_branches_have_64_bits)
{
    CHECK_INT(DECODE(64, 0x50), 1);
    CHECK_INT(insn.operand_size, 8);
    CHECK_INT(DECODE(64, 0x66, 0x50), 2);
    CHECK_INT(insn.operand_size, 2);
    /* push -2: sign-extended to what is pushed */
    CHECK_INT(DECODE(64, 0x68, 0xfe, 0xff, 0xff, 0xff), 5);
    CHECK(operand_is(0, SOFT_OPERAND_IMM, 0, 8));
    CHECK_INT(insn.imm, -2);
    /* 66 does nothing to a near branch of Intel's, not even to its displacement. */
    CHECK_INT(DECODE(64, 0x66, 0xe8, 1, 0, 0, 0x80), 6);
    CHECK_INT(insn.operand_size, 8);
    CHECK(operand_is(0, SOFT_OPERAND_REL, 0, 8));
    CHECK_INT(insn.imm, (int32_t)0x80000001);
    CHECK_INT(DECODE(32, 0x66, 0xe8, 0xff, 0xff), 4);
    CHECK_INT(insn.imm, -1);
    CHECK_INT(insn.operand_size, 2);
    /* far ones are not of them */
    CHECK_INT(DECODE(64, 0xcb), 1);
    CHECK_INT(insn.operand_size, 4);
    CHECK_INT(DECODE(64, 0x48, 0xff, 0x28), 3);
    CHECK_INT(insn.id, SOFT_INSN_JMPF);
    CHECK(operand_is(0, SOFT_OPERAND_MEM, 0, 10));
}

TEST(byte_registers)
{
    CHECK_INT(DECODE(64, 0x88, 0xe0), 2); /* mov al, ah */
    CHECK(operand_is(0, SOFT_OPERAND_GPR, 0, 1));
    CHECK(operand_is(1, SOFT_OPERAND_GPR_HIGH, 0, 1));
    CHECK_INT(DECODE(64, 0x40, 0x88, 0xe0), 3); /* mov al, spl */
    CHECK(operand_is(1, SOFT_OPERAND_GPR, 4, 1));
    CHECK_INT(DECODE(64, 0xb7, 0x7f), 2); /* mov bh, 0x7f */
    CHECK(operand_is(0, SOFT_OPERAND_GPR_HIGH, 3, 1));
    CHECK_INT(DECODE(64, 0x41, 0xb7, 0x7f), 3); /* mov r15b, 0x7f */
    CHECK(operand_is(0, SOFT_OPERAND_GPR, 15, 1));
}

TEST(rex_counts_only_as_the_last_prefix)
{
    CHECK_INT(DECODE(64, 0x48, 0x66, 0x01, 0xc8), 4);
    CHECK_INT(insn.operand_size, 2);
    CHECK_INT(insn.prefixes & SOFT_PREFIX_REX, 0);
    CHECK_INT(DECODE(64, 0x4f, 0x41, 0x01, 0xc8), 4);
    CHECK(operand_is(0, SOFT_OPERAND_GPR, 8, 4));
    CHECK(operand_is(1, SOFT_OPERAND_GPR, 1, 4));
    CHECK_INT(DECODE(32, 0x48), 1);
    CHECK_INT(insn.id, SOFT_INSN_DEC);
}

TEST(addresses_of_16_bits)
{
    CHECK_INT(DECODE(16, 0x8b, 0x42, 0x80), 3); /* mov ax, [bp + si - 128] */
    CHECK(memory_is(5, 6, 0, -128));
    CHECK_INT(insn.memory.segment, SOFT_SEG_SS);
    CHECK_INT(DECODE(16, 0x8b, 0x06, 0x34, 0xff), 4);
    CHECK(memory_is(SOFT_REG_NONE, SOFT_REG_NONE, 0, (int16_t)0xff34));
    CHECK_INT(insn.memory.segment, SOFT_SEG_DS);
    CHECK_INT(DECODE(32, 0x67, 0x8b, 0x47, 1), 4); /* [bx + 1] */
    CHECK(memory_is(3, SOFT_REG_NONE, 0, 1));
    CHECK_INT(insn.address_size, 2);
    CHECK_INT(DECODE(64, 0x67, 0x8b, 0x47, 1), 4); /* [edi + 1] */
    CHECK_INT(insn.address_size, 4);
    CHECK(memory_is(7, SOFT_REG_NONE, 0, 1));
}

TEST(addresses_with_sib)
{
    CHECK_INT(DECODE(64, 0x8b, 0x04, 0x24), 3); /* [rsp] */
    CHECK(memory_is(4, SOFT_REG_NONE, 0, 0));
    CHECK_INT(insn.memory.segment, SOFT_SEG_SS);
    CHECK_INT(DECODE(64, 0x41, 0x8b, 0x04, 0x24), 4); /* [r12] */
    CHECK(memory_is(12, SOFT_REG_NONE, 0, 0));
    CHECK_INT(insn.memory.segment, SOFT_SEG_DS);
    CHECK_INT(DECODE(64, 0x42, 0x8b, 0x44, 0xa5, 0x10), 5); /* [rbp + r12 * 4 + 16] */
    CHECK(memory_is(5, 12, 2, 16));
    CHECK_INT(DECODE(64, 0x8b, 0x04, 0x25, 0, 0, 0, 0x80), 7); /* [-0x80000000] */
    CHECK(memory_is(SOFT_REG_NONE, SOFT_REG_NONE, 0, INT32_MIN));
    CHECK_INT(DECODE(64, 0x8b, 0x05, 4, 0, 0, 0), 6); /* [rip + 4] */
    CHECK(memory_is(SOFT_REG_RIP, SOFT_REG_NONE, 0, 4));
    CHECK_INT(DECODE(64, 0x41, 0x8b, 0x05, 4, 0, 0, 0), 7); /* REX.B does not make it r13 */
    CHECK(memory_is(SOFT_REG_RIP, SOFT_REG_NONE, 0, 4));
    CHECK_INT(DECODE(32, 0x8b, 0x05, 4, 0, 0, 0), 6);
    CHECK(memory_is(SOFT_REG_NONE, SOFT_REG_NONE, 0, 4));
}

TEST(segments)
{
    CHECK_INT(DECODE(32, 0x26, 0x8b, 0x45, 0), 4);
    CHECK_INT(insn.memory.segment, SOFT_SEG_ES);
    CHECK_INT(DECODE(32, 0x26, 0x64, 0x8b, 0), 4); /* the last one */
    CHECK_INT(insn.memory.segment, SOFT_SEG_FS);
    CHECK_INT(DECODE(64, 0x64, 0x2e, 0x8b, 0), 4); /* CS means nothing in 64-bit mode */
    CHECK_INT(insn.memory.segment, SOFT_SEG_FS);
    CHECK_INT(DECODE(64, 0x2e, 0x8b, 0), 3);
    CHECK_INT(insn.memory.segment, SOFT_SEG_DS);
    CHECK_INT(insn.prefixes & SOFT_PREFIX_SEGMENT, 0);
    CHECK_INT(DECODE(32, 0x65, 0xa4), 2); /* movsb from gs */
    CHECK_INT(insn.memory.segment, SOFT_SEG_GS);
}

TEST(offsets_without_modrm)
{
    CHECK_INT(DECODE(64, 0xa0, 1, 2, 3, 4, 5, 6, 7, 0x88), 9);
    CHECK(operand_is(0, SOFT_OPERAND_GPR, 0, 1));
    CHECK(operand_is(1, SOFT_OPERAND_MEM, 0, 1));
    CHECK(memory_is(SOFT_REG_NONE, SOFT_REG_NONE, 0, (int64_t)0x8807060504030201));
    CHECK_INT(DECODE(64, 0x67, 0xa3, 1, 2, 3, 0x84), 6);
    CHECK(memory_is(SOFT_REG_NONE, SOFT_REG_NONE, 0, 0x84030201));
    CHECK_INT(DECODE(16, 0xa1, 0x34, 0xf2), 3);
    CHECK(memory_is(SOFT_REG_NONE, SOFT_REG_NONE, 0, 0xf234));
}

TEST(immediates)
{
    CHECK_INT(DECODE(64, 0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 0x88), 10);
    CHECK_INT(insn.imm, (int64_t)0x8807060504030201);
    CHECK_INT(DECODE(64, 0x48, 0xc7, 0xc0, 0, 0, 0, 0x80), 7);
    CHECK_INT(insn.imm, INT32_MIN);
    CHECK_INT(DECODE(64, 0x66, 0x83, 0xc0, 0xff), 4);
    CHECK_INT(insn.imm, -1);
    CHECK(operand_is(1, SOFT_OPERAND_IMM, 0, 2));
    CHECK_INT(DECODE(64, 0xc8, 0xff, 0xff, 0x9f), 4); /* enter 0xffff, 0x9f */
    CHECK_INT(insn.imm, 0xffff);
    CHECK_INT(insn.imm2, 0x9f);
    CHECK_INT(DECODE(64, 0xd1, 0xe0), 2); /* shl eax, 1 */
    CHECK_INT(insn.imm, 1);
    CHECK_INT(DECODE(16, 0xea, 1, 0, 0xff, 0xff), 5);
    CHECK_INT(insn.imm, 1);
    CHECK_INT(insn.imm2, 0xffff);
    CHECK_INT(DECODE(32, 0x9a, 1, 2, 3, 0x84, 5, 6), 7);
    CHECK_INT(insn.imm, 0x84030201);
    CHECK_INT(insn.imm2, 0x605);
    CHECK_INT(DECODE(64, 0x9a, 1, 2, 3, 4, 5, 6), SOFT_DECODE_INVALID);
}

TEST(lock_needs_memory_to_change)
{
    CHECK_INT(DECODE(64, 0xf0, 0x01, 0x08), 3);
    CHECK(insn.prefixes & SOFT_PREFIX_LOCK);
    CHECK_INT(DECODE(64, 0xf0, 0x01, 0xc8), SOFT_DECODE_INVALID);
    CHECK_INT(DECODE(64, 0xf0, 0x03, 0x08), SOFT_DECODE_INVALID);
    CHECK_INT(DECODE(64, 0xf0, 0x39, 0x08), SOFT_DECODE_INVALID);
    CHECK_INT(DECODE(64, 0xf0, 0x90), SOFT_DECODE_INVALID);
    CHECK_INT(DECODE(64, 0xf0, 0x48, 0x0f, 0xc7, 0x08), 5);
    CHECK_INT(insn.id, SOFT_INSN_CMPXCHG16B);
    CHECK_INT(DECODE(64, 0xf0, 0x0f, 0xa3, 0x08), SOFT_DECODE_INVALID);
    CHECK_INT(DECODE(64, 0xf0, 0x0f, 0xab, 0x08), 4);
    CHECK_INT(DECODE(64, 0xf0, 0x0f, 0x20, 0xc0), SOFT_DECODE_INVALID); /* AMD's CR8 */
}

TEST(mandatory_prefixes)
{
    CHECK_INT(DECODE(64, 0x0f, 0x58, 0xc1), 3);
    CHECK_INT(insn.id, SOFT_INSN_ADDPS);
    CHECK_INT(DECODE(64, 0x66, 0xf3, 0x0f, 0x58, 0xc1), 5); /* F3 wins over 66 */
    CHECK_INT(insn.id, SOFT_INSN_ADDSS);
    CHECK_INT(insn.prefixes & SOFT_PREFIX_REP, 0);
    CHECK_INT(DECODE(64, 0xf3, 0xf2, 0x0f, 0x58, 0xc1), 5); /* the last of F2 and F3 */
    CHECK_INT(insn.id, SOFT_INSN_ADDSD);
    CHECK_INT(DECODE(64, 0xf3, 0x0f, 0x54, 0xc1), SOFT_DECODE_INVALID);
    /* crc32 eax, cx: 66 is the operand size beside F2 */
    CHECK_INT(DECODE(64, 0x66, 0xf2, 0x0f, 0x38, 0xf1, 0xc1), 6);
    CHECK(operand_is(0, SOFT_OPERAND_GPR, 0, 4));
    CHECK(operand_is(1, SOFT_OPERAND_GPR, 1, 2));
    CHECK_INT(DECODE(64, 0xf3, 0x48, 0x0f, 0xb8, 0xc1), 5);
    CHECK_INT(insn.id, SOFT_INSN_POPCNT);
    CHECK_INT(DECODE(64, 0x0f, 0xb8, 0xc1), SOFT_DECODE_INVALID);
    CHECK_INT(DECODE(64, 0xf3, 0xa4), 2);
    CHECK(insn.prefixes & SOFT_PREFIX_REP);
}

TEST(nop_pause_xchg)
{
    CHECK_INT(DECODE(64, 0x90), 1);
    CHECK_INT(insn.id, SOFT_INSN_NOP);
    CHECK_INT(DECODE(64, 0xf3, 0x90), 2);
    CHECK_INT(insn.id, SOFT_INSN_PAUSE);
    CHECK_INT(DECODE(64, 0x41, 0x90), 2); /* xchg r8d, eax */
    CHECK_INT(insn.id, SOFT_INSN_XCHG);
    CHECK(operand_is(0, SOFT_OPERAND_GPR, 8, 4));
    CHECK_INT(DECODE(64, 0xf3, 0x0f, 0x1e, 0xfa), 4);
    CHECK_INT(insn.id, SOFT_INSN_ENDBR64);
    CHECK_INT(DECODE(64, 0x0f, 0x1e, 0xfa), 3);
    CHECK_INT(insn.id, SOFT_INSN_NOP);
    CHECK_INT(DECODE(64, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0), 10);
    CHECK_INT(insn.id, SOFT_INSN_NOP);
    CHECK(operand_is(0, SOFT_OPERAND_MEM, 0, 0));
}

TEST(vex)
{
    /* vaddps ymm1, ymm2, [rax + r9] */
    CHECK_INT(DECODE(64, 0xc4, 0xa1, 0x6c, 0x58, 0x0c, 0x08), 6);
    CHECK_INT(insn.id, SOFT_INSN_ADDPS);
    CHECK_INT(insn.vex_length, 32);
    CHECK(operand_is(0, SOFT_OPERAND_YMM, 1, 32));
    CHECK(operand_is(1, SOFT_OPERAND_YMM, 2, 32));
    CHECK(operand_is(2, SOFT_OPERAND_MEM, 0, 32));
    CHECK(memory_is(0, 9, 0, 0));
    CHECK_INT(DECODE(64, 0x66, 0xc5, 0xf0, 0x58, 0xc1), SOFT_DECODE_INVALID);
    CHECK_INT(DECODE(64, 0x40, 0xc5, 0xf0, 0x58, 0xc1), SOFT_DECODE_INVALID);
    CHECK_INT(DECODE(64, 0xf0, 0xc5, 0xf0, 0x58, 0xc1), SOFT_DECODE_INVALID);
    /* vvvv of vmovups must be 1111 */
    CHECK_INT(DECODE(64, 0xc5, 0xf8, 0x10, 0xc1), 4);
    CHECK_INT(DECODE(64, 0xc5, 0xf0, 0x10, 0xc1), SOFT_DECODE_INVALID);
    /* LDS and LES in the other modes, if there is memory */
    CHECK_INT(DECODE(32, 0xc5, 0x30), 2);
    CHECK_INT(insn.id, SOFT_INSN_LDS);
    CHECK_INT(DECODE(32, 0xc5, 0xf0, 0x58, 0xc1), 4);
    CHECK_INT(insn.id, SOFT_INSN_ADDPS);
    CHECK_INT(DECODE(32, 0x62, 0x00), 2);
    CHECK_INT(insn.id, SOFT_INSN_BOUND);
    CHECK_INT(DECODE(32, 0x62, 0xf1, 0x7c, 0x48, 0x58, 0xc1), SOFT_DECODE_INVALID); /* EVEX */
    /* W of general-purpose ones means nothing outside of 64-bit mode: andn eax, ebx, ecx */
    CHECK_INT(DECODE(32, 0xc4, 0xe2, 0xe0, 0xf2, 0xc1), 5);
    CHECK_INT(insn.id, SOFT_INSN_ANDN);
    CHECK(operand_is(1, SOFT_OPERAND_GPR, 3, 4));
    CHECK_INT(DECODE(64, 0xc4, 0xe2, 0xe0, 0xf2, 0xc1), 5);
    CHECK(operand_is(1, SOFT_OPERAND_GPR, 3, 8));
    /* vblendvps xmm1, xmm2, xmm3, xmm15 */
    CHECK_INT(DECODE(64, 0xc4, 0xe3, 0x69, 0x4a, 0xcb, 0xf0), 6);
    CHECK(operand_is(3, SOFT_OPERAND_XMM, 15, 16));
    CHECK_INT(DECODE(32, 0xc4, 0xe3, 0x69, 0x4a, 0xcb, 0xf0), 6);
    CHECK(operand_is(3, SOFT_OPERAND_XMM, 7, 16));
}

TEST(gathers)
{
    /* vpgatherqd xmm1, [rax + ymm2 * 4], xmm3 */
    CHECK_INT(DECODE(64, 0xc4, 0xe2, 0x65, 0x91, 0x0c, 0x90), 6);
    CHECK_INT(insn.id, SOFT_INSN_VPGATHERQD);
    CHECK(operand_is(0, SOFT_OPERAND_XMM, 1, 16));
    CHECK(operand_is(1, SOFT_OPERAND_MEM, 0, 4));
    CHECK(operand_is(2, SOFT_OPERAND_XMM, 3, 16));
    CHECK(memory_is(0, 2, 2, 0));
    CHECK_INT(insn.memory.vsib, 32);
    /* index 4 is a register here */
    CHECK_INT(DECODE(64, 0xc4, 0xe2, 0x65, 0x91, 0x0c, 0xa0), 6);
    CHECK_INT(insn.memory.index, 4);
    CHECK_INT(DECODE(64, 0xc4, 0xe2, 0x65, 0x91, 0x0c, 0x88), SOFT_DECODE_INVALID); /* 1, 1 */
    CHECK_INT(DECODE(64, 0xc4, 0xe2, 0x75, 0x91, 0x0c, 0x90), SOFT_DECODE_INVALID);
    CHECK_INT(DECODE(64, 0xc4, 0xe2, 0x65, 0x91, 0x08), SOFT_DECODE_INVALID); /* no SIB */
    CHECK_INT(DECODE(32, 0x67, 0xc4, 0xe2, 0x65, 0x91, 0x0c), SOFT_DECODE_INVALID);
}

TEST(system_registers)
{
    CHECK_INT(DECODE(64, 0x44, 0x0f, 0x20, 0xc0), 4); /* mov rax, cr8 */
    CHECK(operand_is(0, SOFT_OPERAND_GPR, 0, 8));
    CHECK(operand_is(1, SOFT_OPERAND_CR, 8, 8));
    CHECK(insn.attributes & SOFT_ATTR_CPL0);
    CHECK_INT(DECODE(64, 0x0f, 0x22, 0x18), 3); /* mod is ignored: mov cr3, rax */
    CHECK(operand_is(0, SOFT_OPERAND_CR, 3, 8));
    CHECK(operand_is(1, SOFT_OPERAND_GPR, 0, 8));
    CHECK_INT(DECODE(64, 0x0f, 0x20, 0xc8), SOFT_DECODE_INVALID); /* CR1 */
    CHECK_INT(DECODE(64, 0x44, 0x0f, 0x21, 0xc0), SOFT_DECODE_INVALID);
    CHECK_INT(DECODE(32, 0x8e, 0xc8), SOFT_DECODE_INVALID); /* mov cs, eax */
    CHECK_INT(DECODE(32, 0x8c, 0xf0), SOFT_DECODE_INVALID);
    CHECK_INT(DECODE(32, 0x8c, 0xc8), 2);
    CHECK(operand_is(0, SOFT_OPERAND_GPR, 0, 4));
    CHECK_INT(DECODE(32, 0x8c, 0x08), 2);
    CHECK(operand_is(0, SOFT_OPERAND_MEM, 0, 2));
    CHECK_INT(DECODE(64, 0x0f, 0x01, 0xf8), 3);
    CHECK_INT(insn.id, SOFT_INSN_SWAPGS);
    CHECK_INT(DECODE(32, 0x0f, 0x01, 0xf8), SOFT_DECODE_INVALID);
    CHECK_INT(DECODE(64, 0x0f, 0x01, 0x38), 3);
    CHECK_INT(insn.id, SOFT_INSN_INVLPG);
}

TEST(flags)
{
    const uint8_t all =
        SOFT_FLAG_C | SOFT_FLAG_P | SOFT_FLAG_A | SOFT_FLAG_Z | SOFT_FLAG_S | SOFT_FLAG_O;

    CHECK_INT(DECODE(64, 0x11, 0xc8), 2); /* adc */
    CHECK_INT(insn.flags_read, SOFT_FLAG_C);
    CHECK_INT(insn.flags_written, all);
    CHECK_INT(DECODE(64, 0x7f, 0), 2); /* jg */
    CHECK_INT(insn.flags_read, SOFT_FLAG_Z | SOFT_FLAG_S | SOFT_FLAG_O);
    CHECK_INT(insn.condition, 15);
    CHECK_INT(DECODE(64, 0x0f, 0x42, 0xc1), 3); /* cmovb */
    CHECK_INT(insn.flags_read, SOFT_FLAG_C);
    CHECK_INT(DECODE(64, 0xa6), 1); /* cmpsb, alone and repeated */
    CHECK_INT(insn.flags_read, SOFT_FLAG_D);
    CHECK_INT(insn.flags_written, all);
    CHECK_INT(DECODE(64, 0xf3, 0xa6), 2);
    CHECK_INT(insn.flags_written, 0);
    CHECK_INT(insn.flags_changed, all);
    CHECK_INT(DECODE(64, 0x8b, 0xc0), 2);
    CHECK_INT(insn.flags_read | insn.flags_written | insn.flags_changed, 0);
}

TEST(every_missing_byte_is_asked_for)
{
    static const uint8_t bytes[] = {0x2e, 0x66, 0x42, 0x81, 0x84, 0x88, 1, 2, 3, 4, 5, 6};

    for (unsigned i = 0; i < sizeof(bytes); i++)
        CHECK_INT(soft_decode(&insn, bytes, i, SOFT_MODE_64), SOFT_DECODE_MORE);
    CHECK_INT(soft_decode(&insn, bytes, sizeof(bytes), SOFT_MODE_64), sizeof(bytes));
    /* not if what is there is undefined already */
    CHECK_INT(DECODE(64, 0x0f, 0x0a), SOFT_DECODE_INVALID);
    CHECK_INT(DECODE(64, 0x8f, 0x4c), SOFT_DECODE_INVALID);
}

TEST(more_than_15_bytes)
{
    uint8_t bytes[16];

    memset(bytes, 0x66, sizeof(bytes));
    CHECK_INT(soft_decode(&insn, bytes, 16, SOFT_MODE_64), SOFT_DECODE_TOO_LONG);
    CHECK_INT(soft_decode(&insn, bytes, 15, SOFT_MODE_64), SOFT_DECODE_TOO_LONG);
    CHECK_INT(soft_decode(&insn, bytes, 14, SOFT_MODE_64), SOFT_DECODE_MORE);
    bytes[14] = 0x90;
    CHECK_INT(soft_decode(&insn, bytes, 16, SOFT_MODE_64), 15);
    bytes[13] = 0x04; /* add al, imm8 */
    CHECK_INT(soft_decode(&insn, bytes, 16, SOFT_MODE_64), 15);
    bytes[13] = 0x05; /* add ax, imm16 */
    CHECK_INT(soft_decode(&insn, bytes, 16, SOFT_MODE_64), SOFT_DECODE_TOO_LONG);
}

UNIT_MAIN()
