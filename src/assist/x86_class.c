/* SPDX-License-Identifier: BSD-3-Clause */
#include "assist/x86_class.h"

static bool has_operand(const struct soft_insn *insn, enum soft_operand_kind kind)
{
    for (unsigned i = 0; i < insn->operand_count; i++) {
        if (insn->operand[i].kind == kind)
            return true;
    }
    return false;
}

/* Control and debug registers, MSRs, CPUID, time, events: the hypervisor's own. */
static bool is_system(const struct soft_insn *insn)
{
    if (has_operand(insn, SOFT_OPERAND_CR) || has_operand(insn, SOFT_OPERAND_DR))
        return true;
    switch (insn->feature) {
    case SOFT_FEATURE_INVPCID:
    case SOFT_FEATURE_MONITOR:
    case SOFT_FEATURE_MSR:
    case SOFT_FEATURE_PKU:
    case SOFT_FEATURE_RDPID:
    case SOFT_FEATURE_RDRAND:
    case SOFT_FEATURE_RDSEED:
    case SOFT_FEATURE_RDTSCP:
    case SOFT_FEATURE_SEP:
    case SOFT_FEATURE_SGX:
    case SOFT_FEATURE_SMX:
    case SOFT_FEATURE_SVM:
    case SOFT_FEATURE_SYSCALL:
    case SOFT_FEATURE_TSC:
    case SOFT_FEATURE_VMX:
    case SOFT_FEATURE_XSAVES: return true;
    default: break;
    }
    switch (insn->id) {
    case SOFT_INSN_CPUID:
    case SOFT_INSN_HLT:
    case SOFT_INSN_INT:
    case SOFT_INSN_INT1:
    case SOFT_INSN_INT3:
    case SOFT_INSN_INTO:
    case SOFT_INSN_INVD:
    case SOFT_INSN_INVLPG:
    case SOFT_INSN_IRET:
    case SOFT_INSN_RDPMC:
    case SOFT_INSN_RSM:
    case SOFT_INSN_SWAPGS:
    case SOFT_INSN_WBINVD:
    case SOFT_INSN_XSETBV: return true;
    default: return false;
    }
}

/* Known to the decoder, not to the software CPU. */
static bool is_unknown(const struct soft_insn *insn)
{
    return insn->feature == SOFT_FEATURE_VAES || insn->feature == SOFT_FEATURE_VPCLMULQDQ;
}

bool visor__assist_x86_is_xsave(const struct soft_insn *insn)
{
    return insn->feature == SOFT_FEATURE_XSAVE || insn->feature == SOFT_FEATURE_XSAVEC ||
           insn->feature == SOFT_FEATURE_XSAVEOPT;
}

uint16_t visor__assist_x86_clears(const struct soft_insn *insn)
{
    uint16_t registers = 0;

    if ((insn->prefixes & SOFT_PREFIX_VEX) == 0)
        return 0;
    /* What sets flags has no destination among its operands, but these write XMM0. */
    if (insn->id == SOFT_INSN_PCMPESTRM || insn->id == SOFT_INSN_PCMPISTRM)
        return 1;
    for (unsigned i = 0; i < insn->operand_count && insn->flags_written == 0; i++) {
        const bool is_mask = i == 2 && insn->memory.vsib != 0;

        if ((i == 0 || is_mask) && (insn->operand[i].kind == SOFT_OPERAND_XMM ||
                                    insn->operand[i].kind == SOFT_OPERAND_YMM))
            registers |= (uint16_t)(1u << insn->operand[i].reg);
    }
    return registers;
}

static unsigned pieces_of(const struct soft_insn *insn)
{
    const unsigned all = VISOR__ASSIST_X86_FPU | VISOR__ASSIST_X86_YMM;
    const bool vex = (insn->prefixes & SOFT_PREFIX_VEX) != 0;

    /* With general registers, although they came with vectors. */
    if (insn->id == SOFT_INSN_MOVNTI || insn->id == SOFT_INSN_CRC32)
        return 0;
    if (visor__assist_x86_is_xsave(insn))
        return all;
    switch (insn->feature) {
    case SOFT_FEATURE_ADX:
    case SOFT_FEATURE_BASE:
    case SOFT_FEATURE_BMI1:
    case SOFT_FEATURE_BMI2:
    case SOFT_FEATURE_CLFLUSHOPT:
    case SOFT_FEATURE_CLFSH:
    case SOFT_FEATURE_CLWB:
    case SOFT_FEATURE_CX16:
    case SOFT_FEATURE_CX8:
    case SOFT_FEATURE_FSGSBASE:
    case SOFT_FEATURE_LZCNT:
    case SOFT_FEATURE_MOVBE:
    case SOFT_FEATURE_POPCNT:
    case SOFT_FEATURE_PREFETCHW:
    case SOFT_FEATURE_PREFETCHWT1:
    case SOFT_FEATURE_SERIALIZE:
    case SOFT_FEATURE_SMAP: return 0;
    /* Of conditional moves of both kinds, and FCOMI. */
    case SOFT_FEATURE_CMOV: return has_operand(insn, SOFT_OPERAND_ST) ? VISOR__ASSIST_X86_FPU : 0;
    /* Upper halves of YMM are cleared by all VEX instructions, and left alone by the others. */
    default: return vex ? all : VISOR__ASSIST_X86_FPU;
    }
}

enum visor__assist_x86_refusal visor__assist_x86_classify(unsigned *pieces,
                                                          const struct soft_insn *insn)
{
    *pieces = pieces_of(insn);
    if (is_system(insn))
        return VISOR__ASSIST_X86_REFUSED_SYSTEM;
    return is_unknown(insn) ? VISOR__ASSIST_X86_REFUSED_UNKNOWN : VISOR__ASSIST_X86_PERFORMED;
}
