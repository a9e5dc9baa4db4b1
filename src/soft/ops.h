/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The handlers of micro-operations, as the translator finds them: tables by operation, size and
 * form. Sizes are indices, log2 of the bytes.
 */
#ifndef VISOR_SOFT_OPS_H
#define VISOR_SOFT_OPS_H

#include "soft/uop.h"

/* Where the operands are. In forms with memory it is at soft_address(). */
enum soft_form {
    SOFT_RR, /* dst, src */
    SOFT_RI, /* dst, imm */
    SOFT_RM, /* dst, memory */
    SOFT_MR, /* memory, src */
    SOFT_MI, /* memory, imm */
    SOFT_LOCKED_MR,
    SOFT_LOCKED_MI,
    SOFT_FORMS
};

/* ---- op_alu.c ---- */

enum soft_alu {
    SOFT_ALU_ADD,
    SOFT_ALU_OR,
    SOFT_ALU_ADC,
    SOFT_ALU_SBB,
    SOFT_ALU_AND,
    SOFT_ALU_SUB,
    SOFT_ALU_XOR,
    SOFT_ALU_CMP,
    SOFT_ALU_TEST,
    SOFT_ALUS
};
extern soft_handler *const soft_alu[SOFT_ALUS][4][SOFT_FORMS];

enum soft_unary { SOFT_INC, SOFT_DEC, SOFT_NEG, SOFT_NOT, SOFT_UNARIES };
/* Forms RR (dst alone), MR and LOCKED_MR. */
extern soft_handler *const soft_unary[SOFT_UNARIES][4][SOFT_FORMS];

/* ---- op_move.c ---- */

extern soft_handler *const soft_mov[4][SOFT_FORMS];
/* [zero or sign extension][from: 1, 2, 4 bytes][to: 2, 4, 8 bytes]; [0] RR, [1] RM */
extern soft_handler *const soft_extend[2][3][3][2];
extern soft_handler *const soft_lea[4];
extern soft_handler *const soft_cmov[4][2];  /* aux: condition; RR, RM */
extern soft_handler *const soft_setcc[2];    /* register, memory; aux: condition */
extern soft_handler *const soft_xchg[4][2];  /* RR; MR, which is locked always */
extern soft_handler *const soft_bswap[3];    /* 2, 4, 8 bytes */
extern soft_handler *const soft_movbe[4][2]; /* RM, MR */
extern soft_handler *const soft_convert[4];  /* CBW, CWDE, CDQE by destination size */
extern soft_handler *const soft_spread[4];   /* CWD, CDQ, CQO by operand size */

/* Stack: 64-bit operands in 64-bit mode, or size in aux with any stack. */
extern soft_handler soft_op_push64_r, soft_op_push64_i, soft_op_push64_m, soft_op_pop64_r;
extern soft_handler soft_op_push_r, soft_op_push_i, soft_op_push_m, soft_op_pop_r, soft_op_pop_m;
extern soft_handler soft_op_pusha, soft_op_popa, soft_op_enter, soft_op_leave;
extern soft_handler soft_op_pushf, soft_op_popf;
extern soft_handler soft_op_push_segment, soft_op_pop_segment;

/* Addresses into SOFT_REG_EA; see translate.h for their operands. */
extern soft_handler soft_op_ea64, soft_op_ea32, soft_op_ea_flat, soft_op_ea_checked;

/* ---- op_shift.c ---- */

enum soft_shift {
    SOFT_ROL,
    SOFT_ROR,
    SOFT_RCL,
    SOFT_RCR,
    SOFT_SHL,
    SOFT_SHR,
    SOFT_SAL,
    SOFT_SAR,
    SOFT_SHIFTS
};
/* [0] register, [1] memory; by aux: the count in CL if 0xff, else the count */
extern soft_handler *const soft_shift[SOFT_SHIFTS][4][2];
extern soft_handler *const soft_double_shift[2][4][2]; /* SHLD, SHRD */
enum soft_bit { SOFT_BT, SOFT_BTS, SOFT_BTR, SOFT_BTC, SOFT_BITS };
/* Forms RR, RI, MR, MI and the locked ones. */
extern soft_handler *const soft_bit[SOFT_BITS][4][SOFT_FORMS];
enum soft_scan { SOFT_BSF, SOFT_BSR, SOFT_TZCNT, SOFT_LZCNT, SOFT_POPCNT, SOFT_SCANS };
extern soft_handler *const soft_scan[SOFT_SCANS][4][2]; /* RR, RM */

/* ---- op_multiply.c ---- */

/* MUL, IMUL, DIV, IDIV of rAX; [0] register (src), [1] memory */
enum soft_wide { SOFT_MUL, SOFT_IMUL, SOFT_DIV, SOFT_IDIV, SOFT_WIDES };
extern soft_handler *const soft_wide[SOFT_WIDES][4][2];
/* dst = dst * src; dst = src * imm: [0] RR, [1] RM, [2] RRI, [3] RMI */
extern soft_handler *const soft_imul[4][4];
extern soft_handler soft_op_aaa, soft_op_aas, soft_op_aam, soft_op_aad, soft_op_daa, soft_op_das;

/* ---- op_atomic.c ---- */

extern soft_handler *const soft_cmpxchg[4][3]; /* RR, MR, locked MR */
extern soft_handler *const soft_xadd[4][3];
extern soft_handler soft_op_cmpxchg8b, soft_op_cmpxchg8b_locked, soft_op_cmpxchg16b;

/* ---- op_bmi.c: 4 and 8 bytes ---- */

enum soft_bmi {
    SOFT_ANDN,
    SOFT_BEXTR,
    SOFT_BLSR,
    SOFT_BLSMSK,
    SOFT_BLSI,
    SOFT_BZHI,
    SOFT_PEXT,
    SOFT_PDEP,
    SOFT_SHLX,
    SOFT_SARX,
    SOFT_SHRX,
    SOFT_RORX,
    SOFT_MULX,
    SOFT_ADCX,
    SOFT_ADOX,
    SOFT_BMIS
};
/* dst, src (VEX.vvvv), src2 or memory; [0] register, [1] memory */
extern soft_handler *const soft_bmi[SOFT_BMIS][2][2];
extern soft_handler *const soft_crc32[4][2]; /* by size of the source */

/* ---- op_branch.c ---- */

extern soft_handler *const soft_jcc[16]; /* imm: target */
/* CMP or TEST and the jump behind it in one: [16 conditions]; src2, imm of the jump in the second
 * micro-operation, which stays behind the first */
extern soft_handler soft_op_jmp, soft_op_jmp_r, soft_op_jmp_m;
extern soft_handler soft_op_call, soft_op_call_r, soft_op_call_m, soft_op_ret;
extern soft_handler soft_op_loop, soft_op_jcxz;
extern soft_handler soft_op_end;   /* goes on at imm */
extern soft_handler soft_op_fault; /* aux: vector */
extern soft_handler soft_op_jmp_far_i, soft_op_jmp_far_m, soft_op_call_far_i, soft_op_call_far_m;
extern soft_handler soft_op_ret_far, soft_op_iret;
extern soft_handler soft_op_int, soft_op_into;

/* ---- op_string.c: size in aux, repetition in aux2, segment of the source in src ---- */

enum { SOFT_REP = 1, SOFT_REPE, SOFT_REPNE };
extern soft_handler soft_op_movs, soft_op_stos, soft_op_lods, soft_op_scas, soft_op_cmps;
extern soft_handler soft_op_ins, soft_op_outs;
/* Raises #GP(0) unless the program may use these ports (SDM vol. 1, 18.5). op_system.c */
void soft_check_io(struct soft_cpu *cpu, const struct soft_uop *op, uint16_t port, unsigned size);

/* ---- op_flags.c ---- */

extern soft_handler soft_op_clc, soft_op_stc, soft_op_cmc, soft_op_cld, soft_op_std;
extern soft_handler soft_op_lahf, soft_op_sahf, soft_op_salc, soft_op_nop;

/* ---- op_xsave.c: aux: 1 with REX.W ---- */

extern soft_handler soft_op_fxsave, soft_op_fxrstor, soft_op_xsave, soft_op_xsaveopt;
extern soft_handler soft_op_xsavec, soft_op_xrstor, soft_op_cpl0_xsaves, soft_op_cpl0_xrstors;

/* ---- op_x87_control.c ---- */

extern soft_handler soft_op_fninit, soft_op_fnclex, soft_op_fwait, soft_op_fnstcw, soft_op_fldcw;
extern soft_handler soft_op_fnstsw_ax, soft_op_fnstsw_m;

/* ---- op_system.c ---- */

extern soft_handler soft_op_cli, soft_op_sti, soft_op_hlt, soft_op_in, soft_op_out;
extern soft_handler soft_op_cpuid, soft_op_rdtsc, soft_op_rdtscp, soft_op_rdpmc, soft_op_rdpid;
extern soft_handler soft_op_rdmsr, soft_op_wrmsr, soft_op_mov_from_cr, soft_op_mov_to_cr;
extern soft_handler soft_op_mov_from_dr, soft_op_mov_to_dr, soft_op_clts, soft_op_lmsw;
extern soft_handler soft_op_smsw, soft_op_store_system, soft_op_load_table, soft_op_store_table;
extern soft_handler soft_op_lldt, soft_op_ltr, soft_op_invlpg, soft_op_invpcid, soft_op_invd;
extern soft_handler soft_op_lar, soft_op_lsl, soft_op_verify, soft_op_arpl, soft_op_bound;
extern soft_handler soft_op_mov_to_segment, soft_op_mov_from_segment, soft_op_load_far;
extern soft_handler soft_op_syscall, soft_op_sysret, soft_op_sysenter, soft_op_sysexit;
extern soft_handler soft_op_swapgs, soft_op_fsgsbase, soft_op_clac, soft_op_stac;
extern soft_handler soft_op_rdrand, soft_op_serialize, soft_op_xgetbv, soft_op_xsetbv;
extern soft_handler soft_op_cflush, soft_op_mfence, soft_op_vmcall;

#endif
