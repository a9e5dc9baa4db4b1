/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The x86 decoder against Zydis, on random bytes in all modes: length, instruction, operands.
 *
 * VISOR_DECODE_COUNT=N and VISOR_DECODE_SEED=N in the environment change how many byte strings and
 * which.
 */
#include <stdlib.h>
#include <time.h>

#include <Zydis/Zydis.h>

#include "numbers.h"
#include "soft_zydis_names.h"
#include "unit.h"

#define BYTES 16

static uint64_t state;

static uint32_t next_random(void)
{
    return (uint32_t)(numbers_next(&state) >> 32);
}

static unsigned below(unsigned n)
{
    return next_random() % n;
}

static uint64_t setting(const char *name, uint64_t fallback)
{
    const char *value = getenv(name);

    return value != NULL ? strtoull(value, NULL, 0) : fallback;
}

/* One byte string, and what both make of it. */
struct attempt {
    uint8_t bytes[BYTES];
    enum soft_mode mode;
    struct soft_insn insn;
    int length; /* soft_decode()'s */
    ZyanStatus status;
    ZydisDecodedInstruction zydis;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

/* ---- random bytes ---- */

/* Prefixes, a map, an opcode: the maps get as many cases as the one-byte one. */
static void random_bytes(uint8_t out[BYTES])
{
    static const uint8_t prefixes[] = {0x66, 0x66, 0xf2, 0xf3, 0xf0, 0x67, 0x2e,
                                       0x36, 0x3e, 0x26, 0x64, 0x65, 0x48, 0x41};
    /* Opcodes that differ in all of ModRM. */
    static const uint8_t groups[] = {0x00, 0x01, 0x01, 0x0d, 0x18, 0x1e, 0xae, 0xc7};
    unsigned at = 0;

    for (unsigned i = 0; i < BYTES; i++)
        out[i] = (uint8_t)next_random();
    if (below(8) == 0)
        return;
    for (unsigned n = below(64) == 0 ? below(15) : below(4); n > 1; n--)
        out[at++] = prefixes[below(sizeof(prefixes))];
    if (below(3) == 0)
        out[at++] = (uint8_t)(0x40 + below(16));
    if (at > BYTES - 4)
        return;
    switch (below(8)) {
    case 0: break;
    case 1: out[at] = 0x0f; break;
    case 2:
        out[at] = 0x0f;
        out[at + 1] = groups[below(sizeof(groups))];
        out[at + 2] |= 0xc0;
        break;
    case 3:
        out[at] = 0x0f;
        out[at + 1] = 0x38;
        break;
    case 4:
        out[at] = 0x0f;
        out[at + 1] = 0x3a;
        break;
    case 5:
        out[at] = 0xc5;
        if (below(2) != 0)
            out[at + 1] |= 0x78; /* no vvvv */
        break;
    default:
        if (below(8) != 0)
            at = 0; /* most prefixes are not allowed */
        out[at] = 0xc4;
        out[at + 1] = (uint8_t)((out[at + 1] & 0xe0) | (1 + below(3)));
        if (below(4) != 0)
            out[at + 1] |= 0xc0;
        if (below(2) != 0)
            out[at + 2] |= 0x78;
        break;
    }
}

/* ---- differences that are meant ---- */

/* Extensions that a guest is never offered: their encodings are undefined here. */
static const uint8_t absent[] = {
    ZYDIS_ISA_EXT_AMD3DNOW,  ZYDIS_ISA_EXT_AMD_INVLPGB,
    ZYDIS_ISA_EXT_AMX_BF16,  ZYDIS_ISA_EXT_AMX_INT8,
    ZYDIS_ISA_EXT_AMX_TILE,  ZYDIS_ISA_EXT_AVX512EVEX,
    ZYDIS_ISA_EXT_AVX512VEX, ZYDIS_ISA_EXT_AVX_VNNI,
    ZYDIS_ISA_EXT_CET,       ZYDIS_ISA_EXT_CLZERO,
    ZYDIS_ISA_EXT_ENQCMD,    ZYDIS_ISA_EXT_FMA4,
    ZYDIS_ISA_EXT_GFNI,      ZYDIS_ISA_EXT_HRESET,
    ZYDIS_ISA_EXT_KEYLOCKER, ZYDIS_ISA_EXT_KEYLOCKER_WIDE,
    ZYDIS_ISA_EXT_KNC,       ZYDIS_ISA_EXT_KNCE,
    ZYDIS_ISA_EXT_KNCV,      ZYDIS_ISA_EXT_MCOMMIT,
    ZYDIS_ISA_EXT_MONITORX,  ZYDIS_ISA_EXT_MOVDIR,
    ZYDIS_ISA_EXT_PADLOCK,   ZYDIS_ISA_EXT_PCONFIG,
    ZYDIS_ISA_EXT_PT,        ZYDIS_ISA_EXT_RDPRU,
    ZYDIS_ISA_EXT_RTM,       ZYDIS_ISA_EXT_SGX_ENCLV,
    ZYDIS_ISA_EXT_SNP,       ZYDIS_ISA_EXT_SSE4A,
    ZYDIS_ISA_EXT_TBM,       ZYDIS_ISA_EXT_TDX,
    ZYDIS_ISA_EXT_TSX_LDTRK, ZYDIS_ISA_EXT_UINTR,
    ZYDIS_ISA_EXT_WAITPKG,   ZYDIS_ISA_EXT_XOP,
};

static bool is_absent(const struct attempt *a)
{
    return a->status == ZYAN_STATUS_SUCCESS &&
           memchr(absent, (int)a->zydis.meta.isa_ext, sizeof(absent));
}

static bool is_extension(const struct attempt *a)
{
    return a->length == SOFT_DECODE_INVALID && is_absent(a);
}

static bool is_address(const struct attempt *a)
{
    static const uint16_t ids[] = {
        SOFT_INSN_LEA,        SOFT_INSN_INVLPG,     SOFT_INSN_CLFLUSH,    SOFT_INSN_CLFLUSHOPT,
        SOFT_INSN_CLWB,       SOFT_INSN_PREFETCH,   SOFT_INSN_PREFETCHW,  SOFT_INSN_PREFETCHWT1,
        SOFT_INSN_PREFETCHT0, SOFT_INSN_PREFETCHT1, SOFT_INSN_PREFETCHT2, SOFT_INSN_PREFETCHNTA,
        SOFT_INSN_XSAVE,      SOFT_INSN_XSAVEC,     SOFT_INSN_XSAVEOPT,   SOFT_INSN_XSAVES,
        SOFT_INSN_XRSTOR,     SOFT_INSN_XRSTORS,    SOFT_INSN_NOP,
    };

    for (unsigned i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
        if (ids[i] == a->insn.id)
            return a->insn.operand[a->insn.id == SOFT_INSN_LEA ? 1 : 0].size == 0;
    }
    return false;
}

/* In 64-bit mode, where they do not depend on it. */
static bool is_without_operand_size(const struct attempt *a)
{
    static const uint16_t ids[] = {SOFT_INSN_LGDT,   SOFT_INSN_LIDT, SOFT_INSN_SGDT, SOFT_INSN_SIDT,
                                   SOFT_INSN_INVLPG, SOFT_INSN_INS,  SOFT_INSN_OUTS};

    for (unsigned i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
        if (ids[i] == a->insn.id)
            return a->insn.mode == SOFT_MODE_64 || a->insn.id == SOFT_INSN_INVLPG;
    }
    return false;
}

static bool is_lea(const struct attempt *a)
{
    return a->insn.id == SOFT_INSN_LEA;
}

static bool is_nop(const struct attempt *a)
{
    return a->insn.id == SOFT_INSN_NOP;
}

static bool is_shadow_stack_nop(const struct attempt *a)
{
    return is_nop(a) && (a->zydis.mnemonic == ZYDIS_MNEMONIC_RDSSPD ||
                         a->zydis.mnemonic == ZYDIS_MNEMONIC_RDSSPQ);
}

static bool has_implicit_xmm0(const struct attempt *a)
{
    const struct soft_operand *last = &a->insn.operand[2];

    return a->insn.operand_count == 3 && a->zydis.operand_count_visible == 2 &&
           last->kind == SOFT_OPERAND_XMM && last->reg == 0;
}

static bool is_virtualization(const struct attempt *a)
{
    return a->insn.feature == SOFT_FEATURE_SVM || a->insn.feature == SOFT_FEATURE_VMX ||
           a->insn.feature == SOFT_FEATURE_SGX;
}

static bool is_descriptor_table(const struct attempt *a)
{
    return a->insn.id == SOFT_INSN_LGDT || a->insn.id == SOFT_INSN_LIDT;
}

static bool is_interrupt(const struct attempt *a)
{
    return a->insn.id == SOFT_INSN_INT || a->insn.id == SOFT_INSN_INT1 ||
           a->insn.id == SOFT_INSN_INT3 || a->insn.id == SOFT_INSN_INTO ||
           a->insn.id == SOFT_INSN_SYSCALL;
}

static bool is_string_test(const struct attempt *a)
{
    return a->insn.id == SOFT_INSN_CMPS || a->insn.id == SOFT_INSN_SCAS;
}

static bool is_vex_test(const struct attempt *a)
{
    return a->insn.vex_length != 0 &&
           (a->insn.id == SOFT_INSN_PTEST || a->insn.id == SOFT_INSN_VTESTPS ||
            a->insn.id == SOFT_INSN_VTESTPD);
}

static bool is_pause_with_b(const struct attempt *a)
{
    return a->zydis.mnemonic == ZYDIS_MNEMONIC_PAUSE && a->insn.id == SOFT_INSN_XCHG &&
           a->insn.operand[0].reg == 8;
}

static bool is_no_base(const struct attempt *a)
{
    return a->insn.mode == SOFT_MODE_64 && a->insn.address_size == 4 &&
           a->insn.memory.base == SOFT_REG_NONE && a->zydis.raw.sib.base == 5 &&
           a->zydis.raw.modrm.mod == 0;
}

static bool is_no_track(const struct attempt *a)
{
    return (a->insn.id == SOFT_INSN_CALL || a->insn.id == SOFT_INSN_JMP) &&
           (a->zydis.attributes & ZYDIS_ATTRIB_HAS_NOTRACK) != 0;
}

static bool is_old_fpu_nop(const struct attempt *a)
{
    return a->insn.id == SOFT_INSN_FNOP && (a->zydis.mnemonic == ZYDIS_MNEMONIC_FENI8087_NOP ||
                                            a->zydis.mnemonic == ZYDIS_MNEMONIC_FDISI8087_NOP ||
                                            a->zydis.mnemonic == ZYDIS_MNEMONIC_FSETPM287_NOP);
}

static bool is_undefined_and_too_long(const struct attempt *a)
{
    return a->status == ZYDIS_STATUS_DECODING_ERROR;
}

static bool is_fucomp(const struct attempt *a)
{
    return a->insn.id == SOFT_INSN_FUCOMP;
}

static const struct {
    const char *what, *reason;
    bool (*is_meant)(const struct attempt *a);
} differences[] = {
    {"defined or not", "an extension that no guest is offered", is_extension},
    {"memory size", "an address alone, or an area as long as XCR0 says: 0 here", is_address},
    {"number of operands", "a NOP's do not matter", is_nop},
    {"register", "a NOP's do not matter", is_nop},
    {"operand size", "a NOP's does not matter", is_nop},
    {"operand size", "they do not depend on it", is_without_operand_size},
    {"name", "RDSSP is a NOP without CET", is_shadow_stack_nop},
    {"number of operands", "XMM0 is an operand here, hidden there", has_implicit_xmm0},
    {"number of operands", "VMX, SVM and SGX are #UD anyway", is_virtualization},
    {"address size", "VMX, SVM and SGX are #UD anyway", is_virtualization},
    {"flags written", "VMX, SVM and SGX are #UD anyway", is_virtualization},
    {"CPL 0", "VMX, SVM and SGX are #UD anyway", is_virtualization},
    {"CPL 0", "Zydis does not say it of LGDT and LIDT", is_descriptor_table},
    {"flags read", "interrupts push the flags, SYSCALL saves them", is_interrupt},
    {"flags read", "ZF is tested after it has been written", is_string_test},
    {"flags written", "Zydis does not say that AF, OF, PF and SF are cleared", is_vex_test},
    {"segment", "LEA has none", is_lea},
    {"name", "REX.B makes it XCHG, with F3 too (an EPYC was asked)", is_pause_with_b},
    {"number of operands", "PAUSE and XCHG", is_pause_with_b},
    {"base", "Zydis 4.0.0 is wrong: without mod no base, REX.B or not (an EPYC was asked)",
     is_no_base},
    {"displacement", "Zydis 4.0.0 is wrong, see above", is_no_base},
    {"too long or not", "both, and ModRM, which it is not up to, is the 16th byte",
     is_undefined_and_too_long},
    {"segment", "3E is DS where there is no CET", is_no_track},
    {"name", "8087 and 80287 only", is_old_fpu_nop},
    {"number of operands", "Zydis shows ST(0) of this one, not of FCOMP", is_fucomp},
    {"register", "Zydis shows ST(0) of this one, not of FCOMP", is_fucomp},
};

static unsigned long difference_counts[sizeof(differences) / sizeof(*differences)];

/* ---- comparison ---- */

static const uint8_t segments[] = {SOFT_SEG_ES, SOFT_SEG_CS, SOFT_SEG_SS,
                                   SOFT_SEG_DS, SOFT_SEG_FS, SOFT_SEG_GS};

static bool is_register(const struct soft_operand *ours, ZydisRegister reg)
{
    const unsigned id = (unsigned)ZydisRegisterGetId(reg);

    switch (ZydisRegisterGetClass(reg)) {
    case ZYDIS_REGCLASS_GPR8:
        if (reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH)
            return ours->kind == SOFT_OPERAND_GPR_HIGH && ours->reg == reg - ZYDIS_REGISTER_AH;
        return ours->kind == SOFT_OPERAND_GPR && ours->size == 1 &&
               ours->reg == reg - ZYDIS_REGISTER_AL - (reg >= ZYDIS_REGISTER_SPL ? 4 : 0);
    case ZYDIS_REGCLASS_GPR16:
        return ours->kind == SOFT_OPERAND_GPR && ours->size == 2 && ours->reg == id;
    case ZYDIS_REGCLASS_GPR32:
        return ours->kind == SOFT_OPERAND_GPR && ours->size == 4 && ours->reg == id;
    case ZYDIS_REGCLASS_GPR64:
        return ours->kind == SOFT_OPERAND_GPR && ours->size == 8 && ours->reg == id;
    case ZYDIS_REGCLASS_X87: return ours->kind == SOFT_OPERAND_ST && ours->reg == id;
    case ZYDIS_REGCLASS_MMX: return ours->kind == SOFT_OPERAND_MMX && ours->reg == id;
    case ZYDIS_REGCLASS_XMM: return ours->kind == SOFT_OPERAND_XMM && ours->reg == id;
    case ZYDIS_REGCLASS_YMM: return ours->kind == SOFT_OPERAND_YMM && ours->reg == id;
    case ZYDIS_REGCLASS_SEGMENT: return ours->kind == SOFT_OPERAND_SEG && ours->reg == segments[id];
    case ZYDIS_REGCLASS_CONTROL: return ours->kind == SOFT_OPERAND_CR && ours->reg == id;
    case ZYDIS_REGCLASS_DEBUG: return ours->kind == SOFT_OPERAND_DR && ours->reg == id;
    default: return false;
    }
}

static uint8_t register_number(ZydisRegister reg)
{
    if (reg == ZYDIS_REGISTER_NONE)
        return SOFT_REG_NONE;
    if (reg == ZYDIS_REGISTER_RIP || reg == ZYDIS_REGISTER_EIP)
        return SOFT_REG_RIP;
    return (uint8_t)ZydisRegisterGetId(reg);
}

/* Says whether a difference is one of those that are meant; counts them. */
static bool differs(const struct attempt *a, const char *what)
{
    for (unsigned i = 0; i < sizeof(differences) / sizeof(*differences); i++) {
        if (strcmp(differences[i].what, what) == 0 && differences[i].is_meant(a)) {
            difference_counts[i]++;
            return false;
        }
    }
    return true;
}

/* The functions that compare return what differs, or NULL. */
#define SAME(condition, what)                 \
    do {                                      \
        if (!(condition) && differs(a, what)) \
            return what;                      \
    } while (0)

static const char *compare_memory(const struct attempt *a, const struct soft_operand *ours,
                                  const ZydisDecodedOperand *theirs)
{
    const struct soft_memory *memory = &a->insn.memory;
    const uint64_t address_mask = UINT64_MAX >> (64 - 8 * a->insn.address_size);

    SAME(ours->kind == SOFT_OPERAND_MEM, "kind");
    SAME(memory->base == register_number(theirs->mem.base), "base");
    SAME(memory->index == register_number(theirs->mem.index), "index");
    SAME(theirs->mem.index == ZYDIS_REGISTER_NONE || 1 << memory->scale == theirs->mem.scale,
         "scale");
    SAME(((uint64_t)(memory->disp - theirs->mem.disp.value) & address_mask) == 0, "displacement");
    SAME(theirs->mem.segment == ZYDIS_REGISTER_NONE ||
             memory->segment == segments[ZydisRegisterGetId(theirs->mem.segment)],
         "segment");
    SAME(ours->size * 8 == theirs->size, "memory size");
    if (theirs->mem.type == ZYDIS_MEMOP_TYPE_VSIB)
        SAME(memory->vsib * 8 == ZydisRegisterGetWidth(a->zydis.machine_mode, theirs->mem.index),
             "vector index");
    else
        SAME(memory->vsib == 0, "vector index");
    return NULL;
}

static const char *compare_imm(const struct attempt *a, unsigned index,
                               const ZydisDecodedOperand *theirs)
{
    const struct soft_operand *ours = &a->insn.operand[index];
    const bool is_second = index > 0 && ours[-1].kind == SOFT_OPERAND_IMM;
    const uint64_t value = is_second ? a->insn.imm2 : (uint64_t)a->insn.imm;
    const uint64_t mask = UINT64_MAX >> (64 - theirs->size);

    if (theirs->imm.is_relative) {
        SAME(ours->kind == SOFT_OPERAND_REL, "kind");
        SAME(a->insn.imm == theirs->imm.value.s, "displacement");
        return NULL;
    }
    SAME(ours->kind == SOFT_OPERAND_IMM, "kind");
    SAME((value & mask) == (theirs->imm.value.u & mask), "immediate");
    return NULL;
}

static const char *compare_operand(const struct attempt *a, unsigned index,
                                   const ZydisDecodedOperand *theirs)
{
    const struct soft_operand *ours = &a->insn.operand[index];

    switch (theirs->type) {
    case ZYDIS_OPERAND_TYPE_REGISTER:
        SAME(is_register(ours, theirs->reg.value), "register");
        return NULL;
    case ZYDIS_OPERAND_TYPE_MEMORY: return compare_memory(a, ours, theirs);
    case ZYDIS_OPERAND_TYPE_IMMEDIATE: return compare_imm(a, index, theirs);
    case ZYDIS_OPERAND_TYPE_POINTER:
        SAME(ours->kind == SOFT_OPERAND_FAR, "kind");
        SAME((uint32_t)a->insn.imm == theirs->ptr.offset, "immediate");
        SAME(a->insn.imm2 == theirs->ptr.segment, "selector");
        return NULL;
    default: return "operand type";
    }
}

static uint8_t flags_of(uint32_t zydis)
{
    return (uint8_t)(((zydis & ZYDIS_CPUFLAG_CF) ? SOFT_FLAG_C : 0) |
                     ((zydis & ZYDIS_CPUFLAG_PF) ? SOFT_FLAG_P : 0) |
                     ((zydis & ZYDIS_CPUFLAG_AF) ? SOFT_FLAG_A : 0) |
                     ((zydis & ZYDIS_CPUFLAG_ZF) ? SOFT_FLAG_Z : 0) |
                     ((zydis & ZYDIS_CPUFLAG_SF) ? SOFT_FLAG_S : 0) |
                     ((zydis & ZYDIS_CPUFLAG_OF) ? SOFT_FLAG_O : 0) |
                     ((zydis & ZYDIS_CPUFLAG_DF) ? SOFT_FLAG_D : 0));
}

static const char *compare_flags(const struct attempt *a)
{
    const ZydisAccessedFlags *flags = a->zydis.cpu_flags;
    const uint8_t known = (uint8_t)~SOFT_FLAG_OTHER;
    const uint8_t theirs =
        flags_of(flags->modified | flags->set_0 | flags->set_1 | flags->undefined);
    const uint8_t ours = (a->insn.flags_written | a->insn.flags_changed) & known;

    SAME((a->insn.flags_read & known) == flags_of(flags->tested), "flags read");
    SAME(ours == theirs, "flags written");
    return NULL;
}

static const char *compare_attributes(const struct attempt *a)
{
    const uint64_t theirs = a->zydis.attributes;
    const uint8_t prefixes = a->insn.prefixes;

    SAME(!(a->insn.attributes & (SOFT_ATTR_CPL0 | SOFT_ATTR_CPL0_UD)) ==
             !(theirs & ZYDIS_ATTRIB_IS_PRIVILEGED),
         "CPL 0");
    if ((a->insn.attributes & SOFT_ATTR_STRING) != 0) {
        SAME(!(prefixes & SOFT_PREFIX_REP) ==
                 !(theirs & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE)),
             "REP");
        SAME(!(prefixes & SOFT_PREFIX_REPNE) == !(theirs & ZYDIS_ATTRIB_HAS_REPNE), "REPNE");
    } else {
        SAME((theirs & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE)) ==
                 0,
             "REP");
    }
    if (a->insn.feature == SOFT_FEATURE_BASE)
        SAME(a->insn.operand_size * 8 == a->zydis.operand_width, "operand size");
    return NULL;
}

static const char *compare(const struct attempt *a)
{
    const unsigned theirs = a->zydis.operand_count_visible;
    const char *what;

    if (a->length < 0 || a->status != ZYAN_STATUS_SUCCESS) {
        SAME(a->length < 0 && a->status != ZYAN_STATUS_SUCCESS, "defined or not");
        if (a->length == SOFT_DECODE_TOO_LONG)
            SAME(a->status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG, "too long or not");
        else if (a->length != SOFT_DECODE_INVALID)
            SAME(a->length > 0, "no length");
        return NULL;
    }
    SAME(is_same_name(&a->insn, ZydisMnemonicGetString(a->zydis.mnemonic)), "name");
    SAME(a->length == a->zydis.length && a->insn.length == a->length, "length");
    SAME(a->insn.address_size * 8 == a->zydis.address_width, "address size");
    SAME(a->insn.operand_count == theirs, "number of operands");
    for (unsigned i = 0; i < theirs && i < a->insn.operand_count; i++) {
        what = compare_operand(a, i, &a->operands[i]);
        if (what != NULL)
            return what;
    }
    what = compare_flags(a);
    return what != NULL ? what : compare_attributes(a);
}

static void print_attempt(const struct attempt *a, const char *what)
{
    static const char *const kinds[] = {"none", "gpr", "high", "mem", "imm", "rel", "far",
                                        "seg",  "cr",  "dr",   "st",  "mmx", "xmm", "ymm"};
    ZydisFormatter formatter;
    char text[128] = "?", name[NAME_SIZE] = "";

    ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
    if (a->status == ZYAN_STATUS_SUCCESS)
        ZydisFormatterFormatInstruction(&formatter, &a->zydis, a->operands,
                                        a->zydis.operand_count_visible, text, sizeof(text),
                                        ZYDIS_RUNTIME_ADDRESS_NONE, NULL);
    printf("# %s: mode %d:", what, a->mode * 8);
    for (unsigned i = 0; i < BYTES; i++)
        printf(" %02x", a->bytes[i]);
    printf("\n#   zydis %08x %d \"%s\"\n", a->status,
           a->status == ZYAN_STATUS_SUCCESS ? a->zydis.length : 0, text);
    if (a->length > 0)
        name_of(name, &a->insn);
    printf("#   ours %d %s", a->length, name);
    for (unsigned i = 0; a->length > 0 && i < a->insn.operand_count; i++)
        printf(" %s:%u:%u", kinds[a->insn.operand[i].kind], a->insn.operand[i].reg,
               a->insn.operand[i].size);
    printf("\n");
}

static void decode(struct attempt *a, const ZydisDecoder *decoder)
{
    ZydisDecoderContext context;

    a->length = soft_decode(&a->insn, a->bytes, BYTES, a->mode);
    a->status = ZydisDecoderDecodeInstruction(decoder, &context, a->bytes, BYTES, &a->zydis);
    if (a->status == ZYAN_STATUS_SUCCESS)
        a->status = ZydisDecoderDecodeOperands(decoder, &context, &a->zydis, a->operands,
                                               ZYDIS_MAX_OPERAND_COUNT);
}

/* With fewer bytes it asks for more, and it never looks at those behind. */
static bool knows_its_end(const struct attempt *a)
{
    struct soft_insn insn;
    const size_t fewer = below((unsigned)a->length);

    return soft_decode(&insn, a->bytes, fewer, a->mode) == SOFT_DECODE_MORE &&
           soft_decode(&insn, a->bytes, (size_t)a->length, a->mode) == a->length;
}

/* One line for each kind of mistake and instruction. */
#define MAX_REPORTS 50

static bool is_reported(const struct attempt *a, const char *what)
{
    static struct {
        const char *what;
        unsigned id, zydis;
    } reports[MAX_REPORTS];
    static unsigned count;
    const unsigned id = a->length > 0 ? a->insn.id : 0;
    const unsigned zydis = a->status == ZYAN_STATUS_SUCCESS ? a->zydis.mnemonic : 0;

    for (unsigned i = 0; i < count; i++) {
        if (reports[i].what == what && reports[i].id == id && reports[i].zydis == zydis)
            return true;
    }
    if (count == MAX_REPORTS)
        return true;
    reports[count].what = what;
    reports[count].id = id;
    reports[count++].zydis = zydis;
    return false;
}

static const struct {
    enum soft_mode mode;
    ZydisMachineMode zydis;
    ZydisStackWidth width;
} modes[3] = {
    {SOFT_MODE_16, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16},
    {SOFT_MODE_32, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32},
    {SOFT_MODE_64, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64},
};

/* Counts what differs and is not meant. */
static uint64_t try_many(uint64_t count, bool seen[SOFT_INSN_COUNT])
{
    static ZydisDecoder decoders[3];
    static struct attempt a;
    uint64_t failed = 0;

    for (unsigned i = 0; i < 3; i++) {
        ZydisDecoderInit(&decoders[i], modes[i].zydis, modes[i].width);
        /* Hints that are NOPs here. */
        ZydisDecoderEnableMode(&decoders[i], ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
        ZydisDecoderEnableMode(&decoders[i], ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
    }
    for (uint64_t i = 0; i < count; i++) {
        const unsigned mode = below(3);
        const char *what;

        a.mode = modes[mode].mode;
        random_bytes(a.bytes);
        decode(&a, &decoders[mode]);
        what = compare(&a);
        if (what == NULL && a.length > 0 && !knows_its_end(&a))
            what = "bytes looked at";
        if (a.length > 0)
            seen[a.insn.id] = true;
        failed += what != NULL;
        if (what != NULL && !is_reported(&a, what))
            print_attempt(&a, what);
    }
    return failed;
}

TEST(random_bytes_are_what_zydis_says)
{
    static bool seen[SOFT_INSN_COUNT];
    const uint64_t count = setting("VISOR_DECODE_COUNT", 200000);
    const uint64_t seed = setting("VISOR_DECODE_SEED", (uint64_t)time(NULL));
    unsigned ids = 0;

    state = seed * 2 + 1;
    CHECK_INT(try_many(count, seen), 0);
    for (unsigned i = 1; i < SOFT_INSN_COUNT; i++)
        ids += seen[i];
    printf("# %" PRIu64 " byte strings, seed %" PRIu64 "; %u of %d instructions came up\n", count,
           seed, ids, SOFT_INSN_COUNT - 1);
    for (unsigned i = 0; i < sizeof(differences) / sizeof(*differences); i++)
        printf("# %lu times %s: %s\n", difference_counts[i], differences[i].what,
               differences[i].reason);
    if (count >= 10000000) {
        CHECK_INT(ids, SOFT_INSN_COUNT - 1);
        for (unsigned i = 1; i < SOFT_INSN_COUNT; i++) {
            if (!seen[i])
                printf("# not seen: %s\n", soft_insn_name((enum soft_insn_id)i));
        }
        for (unsigned i = 0; i < sizeof(differences) / sizeof(*differences); i++)
            CHECK(difference_counts[i] != 0);
    }
}

UNIT_MAIN()
