/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The encodings that are compared: what the decoder makes of every opcode with every mandatory
 * prefix, W, L, ModRM.reg and ModRM.rm, once for each instruction with operands of the same kinds
 * and sizes, without what is excluded.
 */
#include <cpuid.h>
#include <string.h>
#include <sys/auxv.h>

#include "silicon.h"

struct silicon_form silicon_forms[SILICON_FORMS_MAX];
unsigned silicon_form_count;
struct silicon_left_out silicon_left_out[SILICON_LEFT_OUT_MAX];
unsigned silicon_left_out_count;

#define GROUP_NAME(id, text) text,
const char *const silicon_group_names[] = {SILICON_GROUPS(GROUP_NAME)};

/* ---- features ---- */

/* Where CPUID tells of what both may have: leaf, register (EAX is 0), bit. What is not here soft
 * has not. */
static const struct {
    uint8_t feature;
    uint32_t leaf;
    uint8_t word, bit;
} features[] = {
    {SOFT_FEATURE_ADX, 7, 1, 19},
    {SOFT_FEATURE_AES, 1, 2, 25},
    {SOFT_FEATURE_AVX, 1, 2, 28},
    {SOFT_FEATURE_AVX2, 7, 1, 5},
    {SOFT_FEATURE_BMI1, 7, 1, 3},
    {SOFT_FEATURE_BMI2, 7, 1, 8},
    {SOFT_FEATURE_CLFLUSHOPT, 7, 1, 23},
    {SOFT_FEATURE_CLFSH, 1, 3, 19},
    {SOFT_FEATURE_CLWB, 7, 1, 24},
    {SOFT_FEATURE_CMOV, 1, 3, 15},
    {SOFT_FEATURE_CX16, 1, 2, 13},
    {SOFT_FEATURE_CX8, 1, 3, 8},
    {SOFT_FEATURE_F16C, 1, 2, 29},
    {SOFT_FEATURE_FMA, 1, 2, 12},
    {SOFT_FEATURE_FPU, 1, 3, 0},
    {SOFT_FEATURE_FXSR, 1, 3, 24},
    {SOFT_FEATURE_LZCNT, 0x80000001, 2, 5},
    {SOFT_FEATURE_MMX, 1, 3, 23},
    {SOFT_FEATURE_MOVBE, 1, 2, 22},
    {SOFT_FEATURE_MSR, 1, 3, 5},
    {SOFT_FEATURE_PCLMULQDQ, 1, 2, 1},
    {SOFT_FEATURE_POPCNT, 1, 2, 23},
    {SOFT_FEATURE_PREFETCHW, 0x80000001, 2, 8},
    {SOFT_FEATURE_RDPID, 7, 2, 22},
    {SOFT_FEATURE_RDRAND, 1, 2, 30},
    {SOFT_FEATURE_RDSEED, 7, 1, 18},
    {SOFT_FEATURE_RDTSCP, 0x80000001, 3, 27},
    {SOFT_FEATURE_SHA, 7, 1, 29},
    {SOFT_FEATURE_SERIALIZE, 7, 3, 14},
    {SOFT_FEATURE_SSE, 1, 3, 25},
    {SOFT_FEATURE_SSE2, 1, 3, 26},
    {SOFT_FEATURE_SSE3, 1, 2, 0},
    {SOFT_FEATURE_SSE41, 1, 2, 19},
    {SOFT_FEATURE_SSE42, 1, 2, 20},
    {SOFT_FEATURE_SSSE3, 1, 2, 9},
    {SOFT_FEATURE_TSC, 1, 3, 4},
    {SOFT_FEATURE_XSAVE, 1, 2, 27},
    {SOFT_FEATURE_XSAVEC, 0xd, 0, 1},
    {SOFT_FEATURE_XSAVEOPT, 0xd, 0, 0},
    {SOFT_FEATURE_XSAVES, 0xd, 0, 3},
};

/* 1: both have it; 0: this processor has not; -1: soft has not. */
static int has_feature(unsigned feature)
{
    if (feature == SOFT_FEATURE_BASE)
        return 1;
    /* The kernel has to switch it on: bit 1 of AT_HWCAP2 (Linux, asm/hwcap2.h). */
    if (feature == SOFT_FEATURE_FSGSBASE)
        return (int)(getauxval(AT_HWCAP2) >> 1 & 1);
    for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
        unsigned words[4] = {0}, index = features[i].leaf == 0xd;

        if (features[i].feature != feature)
            continue;
        return __get_cpuid_count(features[i].leaf, index, &words[0], &words[1], &words[2],
                                 &words[3]) != 0 &&
               (words[features[i].word] >> features[i].bit & 1) != 0;
    }
    return -1;
}

/* ---- what cannot be compared ---- */

/* Instructions whose result is the machine's or the kernel's own, as a whole. */
static const uint16_t excluded[] = {
    /* Calls of the kernel; INT3 ends every case. */
    SOFT_INSN_INT1,
    SOFT_INSN_INT3,
    SOFT_INSN_SYSCALL,
    SOFT_INSN_SYSENTER,
    /* Linux emulates them where there is UMIP, and has its own tables where there is not. */
    SOFT_INSN_SGDT,
    SOFT_INSN_SIDT,
    SOFT_INSN_SLDT,
    SOFT_INSN_STR,
    SOFT_INSN_SMSW,
    /* Whether user mode may is up to the kernel: CR4.PCE. */
    SOFT_INSN_RDPMC,
    /* The C library's own register. */
    SOFT_INSN_WRFSBASE,
    SOFT_INSN_WRGSBASE,
    /* Vendors differ in whether they are privileged or undefined. */
    SOFT_INSN_SYSRET,
    SOFT_INSN_SYSEXIT,
    SOFT_INSN_RSM,
    SOFT_INSN_GETSEC,
    /* What a hypervisor makes of them. */
    SOFT_INSN_VMCALL,
    SOFT_INSN_VMMCALL,
};

static bool is_far_pointer(const struct soft_insn *insn)
{
    return insn->id == SOFT_INSN_CALLF || insn->id == SOFT_INSN_JMPF || insn->id == SOFT_INSN_LSS ||
           insn->id == SOFT_INSN_LFS || insn->id == SOFT_INSN_LGS;
}

static bool is_excluded(const struct soft_insn *insn)
{
    for (size_t i = 0; i < sizeof(excluded) / sizeof(excluded[0]); i++) {
        if (insn->id == excluded[i])
            return true;
    }
    /* AMD's processors have near branches of 16 bits in 64-bit mode, Intel's and soft do not (SDM
     * vol. 2A, 2.2.1.7 and JMP; APM vol. 3, 1.2.3). */
    if ((insn->attributes & SOFT_ATTR_BRANCH) != 0 && (insn->prefixes & SOFT_PREFIX_66) != 0)
        return true;
    /* AMD's processors have no far pointers with 64 bits (APM vol. 3, JMP (Far), LDS). */
    if (is_far_pointer(insn) && insn->operand_size == 8)
        return true;
    /* AMD's processors have no such NOPs: 0F 0D with a register is undefined there. */
    return insn->id == SOFT_INSN_NOP && insn->opcode == 0x0d;
}

/* ---- groups ---- */

static const struct {
    uint16_t id;
    uint8_t group;
} groups[] = {
#define G(group, name)                    \
    {                                     \
        SOFT_INSN_##name, SILICON_##group \
    }
    G(SHIFT, ROL),        G(SHIFT, ROR),
    G(SHIFT, RCL),        G(SHIFT, RCR),
    G(SHIFT, SHL),        G(SHIFT, SHR),
    G(SHIFT, SAR),        G(SHIFT, SHLD),
    G(SHIFT, SHRD),       G(SHIFT, SHLX),
    G(SHIFT, SHRX),       G(SHIFT, SARX),
    G(SHIFT, RORX),       G(BIT, BT),
    G(BIT, BTS),          G(BIT, BTR),
    G(BIT, BTC),          G(BIT, BSF),
    G(BIT, BSR),          G(BIT, TZCNT),
    G(BIT, LZCNT),        G(BIT, POPCNT),
    G(BIT, ANDN),         G(BIT, BEXTR),
    G(BIT, BLSI),         G(BIT, BLSR),
    G(BIT, BLSMSK),       G(BIT, BZHI),
    G(BIT, PDEP),         G(BIT, PEXT),
    G(BIT, ADCX),         G(BIT, ADOX),
    G(BIT, CRC32),        G(MULTIPLY, MUL),
    G(MULTIPLY, IMUL),    G(MULTIPLY, DIV),
    G(MULTIPLY, IDIV),    G(MULTIPLY, MULX),
    G(MOVE, MOV),         G(MOVE, MOVZX),
    G(MOVE, MOVSX),       G(MOVE, MOVSXD),
    G(MOVE, LEA),         G(MOVE, CMOVCC),
    G(MOVE, SETCC),       G(MOVE, BSWAP),
    G(MOVE, MOVBE),       G(MOVE, MOVNTI),
    G(MOVE, XLAT),        G(MOVE, CBW),
    G(MOVE, CWD),         G(STACK, PUSH),
    G(STACK, POP),        G(STACK, PUSHF),
    G(STACK, POPF),       G(STACK, ENTER),
    G(STACK, LEAVE),      G(ATOMIC, XCHG),
    G(ATOMIC, XADD),      G(ATOMIC, CMPXCHG),
    G(ATOMIC, CMPXCHG8B), G(ATOMIC, CMPXCHG16B),
    G(FLAGS, CLC),        G(FLAGS, STC),
    G(FLAGS, CMC),        G(FLAGS, CLD),
    G(FLAGS, STD),        G(FLAGS, LAHF),
    G(FLAGS, SAHF),       G(ALU, ADD),
    G(ALU, OR),           G(ALU, ADC),
    G(ALU, SBB),          G(ALU, AND),
    G(ALU, SUB),          G(ALU, XOR),
    G(ALU, CMP),          G(ALU, TEST),
    G(ALU, INC),          G(ALU, DEC),
    G(ALU, NEG),          G(ALU, NOT),
    G(PRIVILEGED, CLI),   G(PRIVILEGED, STI),
    G(PRIVILEGED, IN),    G(PRIVILEGED, OUT),
    G(PRIVILEGED, INS),   G(PRIVILEGED, OUTS),
    G(STATE, FXSAVE),     G(STATE, FXRSTOR),
    G(STATE, XRSTOR),     G(STATE, XSAVE),
    G(STATE, XSAVEC),     G(STATE, XSAVEOPT),
    G(STATE, LDMXCSR),    G(SEGMENT, LAR),
    G(SEGMENT, LSL),      G(SEGMENT, VERR),
    G(SEGMENT, VERW),     G(SEGMENT, LSS),
    G(SEGMENT, LFS),      G(SEGMENT, LGS),
    G(SEGMENT, CALLF),    G(SEGMENT, JMPF),
    G(SEGMENT, RETF),     G(SEGMENT, IRET),
    G(SEGMENT, INT),      G(OWN, CPUID),
    G(OWN, RDTSC),        G(OWN, RDTSCP),
    G(OWN, RDPID),        G(OWN, RDRAND),
    G(OWN, RDSEED),       G(OWN, XGETBV),
    G(STATE, STMXCSR),
#undef G
};

/* MOV and POP to a segment register. */
bool silicon_loads_segment(const struct soft_insn *insn)
{
    return insn->operand_count > 0 && insn->operand[0].kind == SOFT_OPERAND_SEG &&
           (insn->id == SOFT_INSN_MOV || insn->id == SOFT_INSN_POP);
}

static uint8_t group_of(const struct soft_insn *insn)
{
    bool mmx = false, vector = false;

    if (silicon_loads_segment(insn))
        return SILICON_SEGMENT;
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        if (groups[i].id == insn->id)
            return groups[i].group;
    }
    if ((insn->attributes & (SOFT_ATTR_CPL0 | SOFT_ATTR_CPL0_UD)) != 0)
        return SILICON_PRIVILEGED;
    if ((insn->attributes & (SOFT_ATTR_STRING | SOFT_ATTR_STRING_TEST)) != 0)
        return SILICON_STRING;
    if ((insn->attributes & SOFT_ATTR_BRANCH) != 0)
        return SILICON_BRANCH;
    if (insn->opcode >= 0xd8 && insn->opcode <= 0xdf && insn->vex_length == 0 &&
        (insn->feature == SOFT_FEATURE_FPU || soft_insn_name(insn->id)[0] == 'F'))
        return SILICON_X87;
    if (insn->vex_length != 0)
        return SILICON_AVX;
    for (unsigned i = 0; i < insn->operand_count; i++) {
        mmx |= insn->operand[i].kind == SOFT_OPERAND_MMX;
        vector |= insn->operand[i].kind == SOFT_OPERAND_XMM;
    }
    return vector ? SILICON_SSE : mmx || insn->id == SOFT_INSN_EMMS ? SILICON_MMX : SILICON_OTHER;
}

/* ---- the search ---- */

/* SDM vol. 2D, appendix A, tables. */
bool silicon_has_modrm(const struct silicon_form *form)
{
    const unsigned op = form->opcode;

    if (form->vex || form->map > 1)
        return !(form->vex && form->map == 1 && op == 0x77);
    if (form->map == 1)
        return !((op >= 0x05 && op <= 0x0b) || (op >= 0x30 && op <= 0x37) || op == 0x77 ||
                 (op & 0xf0) == 0x80 || (op >= 0xa0 && op <= 0xa2) || (op >= 0xa8 && op <= 0xaa) ||
                 op >= 0xc8);
    return (op < 0x40 && (op & 7) < 4) || op == 0x62 || op == 0x63 || op == 0x69 || op == 0x6b ||
           (op & 0xf0) == 0x80 || (op & 0xfe) == 0xc0 || (op >= 0xc4 && op <= 0xc7) ||
           (op & 0xfc) == 0xd0 || (op & 0xf8) == 0xd8 || (op & 0xfe) == 0xf6 || op >= 0xfe;
}

uint64_t silicon_signature(const struct soft_insn *insn)
{
    uint64_t hash = insn->id;
    /* Those do not have an operand size. */
    bool is_vector = insn->vex_length != 0 || insn->feature == SOFT_FEATURE_FPU;
    const bool string = (insn->attributes & (SOFT_ATTR_STRING | SOFT_ATTR_STRING_TEST)) != 0;

    for (unsigned i = 0; i < insn->operand_count; i++)
        is_vector |= insn->operand[i].kind >= SOFT_OPERAND_ST;
#define MIX(value) (hash = (hash ^ (value)) * UINT64_C(0x100000001b3))
    MIX(insn->opcode);
    MIX(is_vector ? 0U : insn->operand_size);
    MIX(insn->vex_length);
    MIX(insn->prefixes & SOFT_PREFIX_VEX);
    MIX(insn->condition);
    MIX(insn->operand_count);
    MIX(string ? insn->prefixes & (SOFT_PREFIX_REP | SOFT_PREFIX_REPNE) : 0U);
    for (unsigned i = 0; i < insn->operand_count; i++) {
        /* AH to BH are found on the way. */
        MIX(insn->operand[i].kind == SOFT_OPERAND_GPR_HIGH ? SOFT_OPERAND_GPR
                                                           : insn->operand[i].kind);
        MIX(insn->operand[i].size);
    }
#undef MIX
    return hash;
}

static unsigned encode(uint8_t out[16], const struct silicon_form *form)
{
    static const uint8_t prefixes[] = {0, 0x66, 0xf3, 0xf2};
    unsigned n = 0;

    if (form->vex) {
        out[n++] = 0xc4;
        out[n++] = (uint8_t)(0xe0 | form->map);
        out[n++] = (uint8_t)(form->w << 7 | 0x78 | form->l << 2 | form->prefix);
    } else {
        if (form->prefix != 0)
            out[n++] = prefixes[form->prefix];
        if (form->w)
            out[n++] = 0x48;
        if (form->map > 0)
            out[n++] = 0x0f;
        if (form->map > 1)
            out[n++] = form->map == 2 ? 0x38 : 0x3a;
    }
    out[n++] = form->opcode;
    out[n++] = (uint8_t)((form->memory ? 0 : 0xc0) | form->reg << 3 | form->rm);
    return n;
}

/* Gathers want a SIB byte and three different registers, and some VEX encodings use vvvv. */
static int decode(struct soft_insn *insn, const struct silicon_form *form)
{
    uint8_t code[16] = {0};
    unsigned n = encode(code, form);
    int length = soft_decode(insn, code, sizeof(code), SOFT_MODE_64);

    if (length < 0 && form->vex) {
        code[2] = (uint8_t)(code[2] & ~0x78) | 2 << 3; /* not 1111 */
        length = soft_decode(insn, code, sizeof(code), SOFT_MODE_64);
        if (length < 0 && form->memory && form->rm == 4) {
            code[n] = 0x08; /* index 1 */
            length = soft_decode(insn, code, sizeof(code), SOFT_MODE_64);
        }
    }
    return length;
}

/* Of the opcode at hand. */
static struct {
    uint64_t signature;
    bool memory;
} seen[256];
static unsigned seen_count;

/* A prefix that means nothing makes no other instruction. */
static bool is_new(const struct silicon_form *form)
{
    for (unsigned i = 0; i < seen_count; i++) {
        if (seen[i].signature == form->signature && seen[i].memory == form->memory)
            return false;
    }
    if (seen_count == sizeof(seen) / sizeof(seen[0]))
        return false;
    seen[seen_count].signature = form->signature;
    seen[seen_count++].memory = form->memory;
    return true;
}

static void leave_out(const struct silicon_form *form, enum silicon_reason reason)
{
    if (silicon_left_out_count < SILICON_LEFT_OUT_MAX)
        silicon_left_out[silicon_left_out_count++] =
            (struct silicon_left_out){.id = form->id, .reason = (uint8_t)reason};
}

static void add(struct silicon_form *form)
{
    struct soft_insn insn;
    int has;

    if (decode(&insn, form) <= 0)
        return;
    form->signature = silicon_signature(&insn);
    if (silicon_form_count == SILICON_FORMS_MAX || !is_new(form))
        return;
    form->id = insn.id;
    form->group = group_of(&insn);
    has = has_feature(insn.feature);
    if (is_excluded(&insn))
        leave_out(form, SILICON_OWN_RESULT);
    else if (has < 0)
        leave_out(form, SILICON_LACKING_THERE);
    else if (has == 0)
        leave_out(form, SILICON_LACKING_HERE);
    else
        silicon_forms[silicon_form_count++] = *form;
}

static void add_opcode(struct silicon_form form)
{
    const bool modrm = silicon_has_modrm(&form);

    seen_count = 0;
    for (unsigned bits = 0; bits < 1u << 11; bits++) {
        form.rm = bits & 7;
        form.reg = bits >> 3 & 7;
        form.memory = (bits >> 6 & 1) != 0;
        form.prefix = bits >> 7 & 3;
        form.w = (bits >> 9 & 1) != 0;
        form.l = (bits >> 10 & 1) != 0;
        /* Of memory operands rm leads to nothing else, but gathers want 4. */
        if ((form.l && !form.vex) || (form.memory && form.rm != (form.vex ? 4 : 0)) ||
            (!modrm && (form.memory || form.reg != 0 || form.rm != 0)))
            continue;
        add(&form);
    }
}

/* Prefixes and what leads to other maps: 0F, 26, 2E, 36, 3E, 40 to 4F, 64 to 67, C4, C5, F0, F2,
 * F3. */
static bool is_no_opcode(unsigned map, unsigned opcode)
{
    if (map == 1)
        return opcode == 0x38 || opcode == 0x3a;
    return map == 0 && (opcode == 0x0f || (opcode & 0xe7) == 0x26 || (opcode & 0xf0) == 0x40 ||
                        (opcode & 0xfc) == 0x64 || (opcode & 0xfe) == 0xc4 || opcode == 0xf0 ||
                        (opcode & 0xfe) == 0xf2);
}

void silicon_forms_find(void)
{
    for (unsigned vex = 0; vex < 2; vex++) {
        for (unsigned map = vex; map < 4; map++) {
            for (unsigned opcode = 0; opcode < 256; opcode++) {
                if (vex != 0 || !is_no_opcode(map, opcode))
                    add_opcode((struct silicon_form){
                        .map = (uint8_t)map, .vex = vex != 0, .opcode = (uint8_t)opcode});
            }
        }
    }
}
