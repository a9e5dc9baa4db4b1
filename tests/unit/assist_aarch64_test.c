/* SPDX-License-Identifier: BSD-3-Clause */
/* Executing A64 loads and stores whose accesses go to devices, to memory, or to both. */
#include "a64_machine.h"
#include "unit.h"

#define CODE   0x1000u
#define DEVICE 0x8000u /* two pages */
#define ROM    0xa000u
#define NEVER  0xdeadbeefdeadbeefull

#define LDP_X1_X2_POST16 0xa8c10861u /* ldp x1, x2, [x3], #16 */
#define STP_X1_X2_SP_PRE 0xa9bf0be1u /* stp x1, x2, [sp, #-16]! */
#define LDPSW_X1_X2_PRE  0x69ff0861u /* ldpsw x1, x2, [x3, #-8]! */
#define LDRSB_W1_POST1   0x38c01441u /* ldrsb w1, [x2], #1 */
#define LDRSH_X1_PRE2    0x78802c41u /* ldrsh x1, [x2, #2]! */
#define STUR_W1          0xb8000041u /* stur w1, [x2] */
#define LDUR_X1          0xf8400041u /* ldur x1, [x2] */
#define LDR_X1_UXTW2     0xb8635841u /* ldr w1, [x2, w3, uxtw #2] */
#define STRB_SXTW        0x3823c841u /* strb w1, [x2, w3, sxtw] */
#define LDP_XZR_X2       0xa940087fu /* ldp xzr, x2, [x3] */
#define LDP_Q0_Q31_M32   0xacff7c60u /* ldp q0, q31, [x3], #-32 */
#define STR_Q1_M16       0x3c9f0441u /* str q1, [x2], #-16 */
#define LDR_S1           0xbd400441u /* ldr s1, [x2, #4] */
#define LDR_D1_LITERAL   0x5c000041u /* ldr d1, .+8 */
#define LD2_8B           0x0c408041u /* ld2 {v1.8b, v2.8b}, [x2] */
#define LD1_B13          0x4d401441u /* ld1 {v1.b}[13], [x2] */
#define ST4_H7           0x4d207841u /* st4 {v1.h - v4.h}[7], [x2] */
#define LD3R_2D_X3       0x4dc3ec41u /* ld3r {v1.2d - v3.2d}, [x2], x3 */
#define LDADD_X          0xf8210062u /* ldadd x1, x2, [x3] */
#define LDSMINB          0x38215062u /* ldsminb w1, w2, [x3] */
#define LDUMAXH          0x78216062u /* ldumaxh w1, w2, [x3] */
#define CAS_W            0x88a17c62u /* cas w1, w2, [x3] */
#define CASP_X           0x48227cc4u /* casp x2, x3, x4, x5, [x6] */
#define LDXR_X1          0xc85f7c41u /* ldxr x1, [x2] */
#define DC_ZVA_X1        0xd50b7421u
#define PRFM_X1          0xf9800420u
#define LDTR_X1          0xf8400841u /* ldtr x1, [x2] */

static struct a64_machine *machine;

/* Code in RAM, two pages of device, one of ROM; the bytes of an address are told by its number. */
static void set_up(void)
{
    machine = a64_new();
    for (unsigned i = DEVICE; i < ROM + A64_PAGE; i++)
        machine->space[i] = (uint8_t)(i + (i >> 8) * 3);
    machine->page[DEVICE / A64_PAGE] = machine->page[DEVICE / A64_PAGE + 1] = A64_DEVICE;
    machine->page[ROM / A64_PAGE] = A64_ROM;
    for (unsigned i = 0; i <= VISOR__A64_X30; i++)
        machine->reg[i] = NEVER;
    memset(machine->v, 0xee, sizeof(machine->v));
    machine->reg[VISOR__A64_PC] = CODE;
    machine->fault_gpa = DEVICE;
}

static uint64_t in_space(uint64_t address, unsigned size)
{
    uint64_t value = 0;

    memcpy(&value, machine->space + address, size);
    return value;
}

static void check_access(unsigned i, uint64_t address, unsigned length, bool is_write)
{
    CHECK(i < machine->logged);
    CHECK_INT(machine->log[i].address, address);
    CHECK_INT(machine->log[i].length, length);
    CHECK_INT(machine->log[i].is_write, is_write);
    CHECK_INT(machine->log[i].space, VISOR_MMIO);
}

static void check_lane(unsigned v, unsigned lane, unsigned size, uint64_t expected)
{
    uint64_t value = 0;

    memcpy(&value, machine->v[v] + lane * size, size);
    CHECK_INT(value, expected);
}

TEST(load_pair)
{
    set_up();
    machine->reg[3] = DEVICE + 8;
    CHECK_INT(a64_run_word(machine, LDP_X1_X2_POST16), VISOR_EXIT_NONE);
    CHECK_INT(machine->logged, 2);
    check_access(0, DEVICE + 8, 8, false);
    check_access(1, DEVICE + 16, 8, false);
    CHECK_INT(machine->reg[1], in_space(DEVICE + 8, 8));
    CHECK_INT(machine->reg[2], in_space(DEVICE + 16, 8));
    CHECK_INT(machine->reg[3], DEVICE + 24);
    CHECK_INT(machine->reg[VISOR__A64_PC], CODE + 4);
    CHECK_INT(machine->reg[4], NEVER);
    a64_free(machine);
}

TEST(store_pair_on_the_stack_of_el1)
{
    set_up();
    machine->reg[VISOR__A64_SP_EL0] = NEVER;
    machine->reg[VISOR__A64_SP_EL1] = DEVICE + 0x110;
    machine->reg[1] = 0x1122334455667788;
    CHECK_INT(a64_run_word(machine, STP_X1_X2_SP_PRE), VISOR_EXIT_NONE);
    CHECK_INT(machine->logged, 2);
    check_access(0, DEVICE + 0x100, 8, true);
    check_access(1, DEVICE + 0x108, 8, true);
    CHECK_INT(visor_io_value(&machine->log[0]), 0x1122334455667788);
    CHECK_INT(visor_io_value(&machine->log[1]), NEVER);
    CHECK_INT(machine->reg[VISOR__A64_SP_EL1], DEVICE + 0x100);
    CHECK_INT(machine->reg[VISOR__A64_SP_EL0], NEVER);
    a64_free(machine);
}

TEST(stack_pointer_follows_pstate)
{
    static const struct {
        uint64_t pstate;
        enum visor__a64_register sp;
    } cases[] = {{0x0, VISOR__A64_SP_EL0}, {0x4, VISOR__A64_SP_EL0}, {0x5, VISOR__A64_SP_EL1}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        set_up();
        machine->reg[VISOR__A64_PSTATE] = cases[i].pstate;
        machine->reg[VISOR__A64_SP_EL0] = machine->reg[VISOR__A64_SP_EL1] = NEVER;
        machine->reg[cases[i].sp] = DEVICE + 16;
        CHECK_INT(a64_run_word(machine, STP_X1_X2_SP_PRE), VISOR_EXIT_NONE);
        CHECK_INT(machine->reg[cases[i].sp], DEVICE);
        a64_free(machine);
    }
}

TEST(sign_extension)
{
    set_up();
    machine->space[DEVICE] = 0x80;
    machine->reg[2] = DEVICE;
    CHECK_INT(a64_run_word(machine, LDRSB_W1_POST1), VISOR_EXIT_NONE);
    CHECK_INT(machine->reg[1], 0xffffff80);
    CHECK_INT(machine->reg[2], DEVICE + 1);

    machine->reg[VISOR__A64_PC] = CODE;
    machine->reg[2] = DEVICE;
    memcpy(machine->space + DEVICE + 2, "\xfe\xff", 2);
    CHECK_INT(a64_run_word(machine, LDRSH_X1_PRE2), VISOR_EXIT_NONE);
    CHECK_INT(machine->reg[1], -2);
    CHECK_INT(machine->reg[2], DEVICE + 2);

    machine->reg[VISOR__A64_PC] = CODE;
    machine->reg[3] = DEVICE + 0x18;
    memcpy(machine->space + DEVICE + 0x10, "\x01\x00\x00\x80\x01\x00\x00\x70", 8);
    CHECK_INT(a64_run_word(machine, LDPSW_X1_X2_PRE), VISOR_EXIT_NONE);
    CHECK_INT(machine->reg[1], 0xffffffff80000001);
    CHECK_INT(machine->reg[2], 0x70000001);
    CHECK_INT(machine->reg[3], DEVICE + 0x10);
    a64_free(machine);
}

TEST(index_registers_are_extended)
{
    set_up();
    machine->reg[2] = DEVICE + 0x20;
    machine->reg[3] = 0xffffffff00000004; /* UXTW: 4 */
    CHECK_INT(a64_run_word(machine, LDR_X1_UXTW2), VISOR_EXIT_NONE);
    CHECK_INT(machine->reg[1], in_space(DEVICE + 0x30, 4));

    machine->reg[VISOR__A64_PC] = CODE;
    machine->reg[3] = 0xffffffe1; /* SXTW: -31 */
    CHECK_INT(a64_run_word(machine, STRB_SXTW), VISOR_EXIT_NONE);
    check_access(0, DEVICE + 1, 1, true);
    a64_free(machine);
}

TEST(zero_register_takes_and_gives_nothing)
{
    set_up();
    machine->reg[3] = DEVICE;
    machine->reg[VISOR__A64_SP_EL0] = machine->reg[VISOR__A64_SP_EL1] = NEVER;
    CHECK_INT(a64_run_word(machine, LDP_XZR_X2), VISOR_EXIT_NONE);
    CHECK_INT(machine->logged, 2);
    CHECK_INT(machine->reg[2], in_space(DEVICE + 8, 8));
    CHECK_INT(machine->reg[VISOR__A64_SP_EL0], NEVER);
    CHECK_INT(machine->reg[VISOR__A64_SP_EL1], NEVER);
    a64_free(machine);
}

TEST(simd_registers_come_in_two_halves)
{
    set_up();
    machine->reg[3] = DEVICE + 0x20;
    CHECK_INT(a64_run_word(machine, LDP_Q0_Q31_M32), VISOR_EXIT_NONE);
    CHECK_INT(machine->logged, 4);
    for (unsigned i = 0; i < 4; i++)
        check_access(i, DEVICE + 0x20 + 8 * i, 8, false);
    CHECK(memcmp(machine->v[0], machine->space + DEVICE + 0x20, 16) == 0);
    CHECK(memcmp(machine->v[31], machine->space + DEVICE + 0x30, 16) == 0);
    CHECK_INT(machine->reg[3], DEVICE);

    machine->reg[VISOR__A64_PC] = CODE;
    machine->reg[2] = DEVICE;
    memcpy(machine->v[1], "0123456789abcdef", 16);
    CHECK_INT(a64_run_word(machine, STR_Q1_M16), VISOR_EXIT_NONE);
    CHECK(memcmp(machine->space + DEVICE, "0123456789abcdef", 16) == 0);
    CHECK_INT(machine->reg[2], DEVICE - 16);
    a64_free(machine);
}

TEST(narrow_simd_loads_clear_the_rest)
{
    set_up();
    machine->reg[2] = DEVICE;
    CHECK_INT(a64_run_word(machine, LDR_S1), VISOR_EXIT_NONE);
    check_lane(1, 0, 4, in_space(DEVICE + 4, 4));
    check_lane(1, 1, 4, 0);
    check_lane(1, 1, 8, 0);
    a64_free(machine);
}

TEST(literal_is_relative_to_pc)
{
    set_up();
    machine->page[DEVICE / A64_PAGE] = A64_RAM; /* the code's; what follows is the device */
    machine->reg[VISOR__A64_PC] = DEVICE + A64_PAGE - 8;
    machine->fault_gpa = DEVICE + A64_PAGE;
    CHECK_INT(a64_run_word(machine, LDR_D1_LITERAL), VISOR_EXIT_NONE);
    check_access(0, DEVICE + A64_PAGE, 8, false);
    check_lane(1, 0, 8, in_space(DEVICE + A64_PAGE, 8));
    CHECK_INT(machine->reg[VISOR__A64_PC], DEVICE + A64_PAGE - 4);
    a64_free(machine);
}

TEST(structures)
{
    set_up();
    machine->reg[2] = DEVICE;
    CHECK_INT(a64_run_word(machine, LD2_8B), VISOR_EXIT_NONE);
    CHECK_INT(machine->logged, 16);
    for (unsigned i = 0; i < 8; i++) {
        check_access(2 * i, DEVICE + 2 * i, 1, false);
        check_lane(1, i, 1, machine->space[DEVICE + 2 * i]);
        check_lane(2, i, 1, machine->space[DEVICE + 2 * i + 1]);
    }
    check_lane(1, 1, 8, 0);
    check_lane(2, 1, 8, 0);

    machine->reg[VISOR__A64_PC] = CODE;
    machine->reg[2] = DEVICE + 0x40;
    for (unsigned i = 1; i <= 4; i++)
        memset(machine->v[i], (int)i * 0x11, 16);
    CHECK_INT(a64_run_word(machine, ST4_H7), VISOR_EXIT_NONE);
    CHECK_INT(machine->logged, 4);
    CHECK_INT(in_space(DEVICE + 0x40, 8), 0x4444333322221111);

    machine->reg[VISOR__A64_PC] = CODE;
    machine->reg[2] = DEVICE;
    machine->reg[3] = 5;
    CHECK_INT(a64_run_word(machine, LD3R_2D_X3), VISOR_EXIT_NONE);
    CHECK_INT(machine->logged, 3);
    for (unsigned i = 0; i < 3; i++) {
        check_lane(1 + i, 0, 8, in_space(DEVICE + 8 * i, 8));
        check_lane(1 + i, 1, 8, in_space(DEVICE + 8 * i, 8));
    }
    CHECK_INT(machine->reg[2], DEVICE + 5);
    a64_free(machine);
}

TEST(a_lane_leaves_the_others)
{
    set_up();
    machine->reg[2] = DEVICE + 3;
    CHECK_INT(a64_run_word(machine, LD1_B13), VISOR_EXIT_NONE);
    for (unsigned i = 0; i < 16; i++)
        check_lane(1, i, 1, i == 13 ? machine->space[DEVICE + 3] : 0xee);
    a64_free(machine);
}

TEST(zero_block)
{
    set_up();
    machine->reg[1] = DEVICE + 0x7f;
    memset(machine->space + DEVICE, 0xff, 0x100);
    CHECK_INT(a64_run_word(machine, DC_ZVA_X1), VISOR_EXIT_NONE);
    CHECK_INT(machine->logged, 8);
    for (unsigned i = 0; i < 8; i++) {
        check_access(i, DEVICE + 0x40 + 8 * i, 8, true);
        CHECK_INT(visor_io_value(&machine->log[i]), 0);
    }
    CHECK_INT(machine->reg[VISOR__A64_PC], CODE + 4);
    a64_free(machine);
}

TEST(prefetch_does_nothing)
{
    set_up();
    CHECK_INT(a64_run_word(machine, PRFM_X1), VISOR_EXIT_NONE);
    CHECK_INT(machine->logged, 0);
    CHECK_INT(machine->sets, 1);
    CHECK_INT(machine->reg[VISOR__A64_PC], CODE + 4);
    a64_free(machine);
}

/* ---- atomics ---- */

TEST(atomics_read_and_then_write)
{
    set_up();
    machine->reg[3] = DEVICE;
    machine->reg[1] = 5;
    memcpy(machine->space + DEVICE, &(uint64_t){40}, 8);
    CHECK_INT(a64_run_word(machine, LDADD_X), VISOR_EXIT_NONE);
    CHECK_INT(machine->logged, 2);
    check_access(0, DEVICE, 8, false);
    check_access(1, DEVICE, 8, true);
    CHECK_INT(machine->reg[2], 40);
    CHECK_INT(in_space(DEVICE, 8), 45);

    machine->reg[VISOR__A64_PC] = CODE;
    machine->reg[1] = 0x7701;
    machine->space[DEVICE] = 0xff; /* -1 is less than 1 */
    CHECK_INT(a64_run_word(machine, LDSMINB), VISOR_EXIT_NONE);
    CHECK_INT(machine->reg[2], 0xff);
    CHECK_INT(machine->space[DEVICE], 0xff);

    machine->reg[VISOR__A64_PC] = CODE;
    machine->reg[1] = 0x10001; /* 1, as far as 2 bytes go */
    memcpy(machine->space + DEVICE, "\x02\x00", 2);
    CHECK_INT(a64_run_word(machine, LDUMAXH), VISOR_EXIT_NONE);
    CHECK_INT(machine->reg[2], 2);
    CHECK_INT(in_space(DEVICE, 2), 2);
    a64_free(machine);
}

TEST(compare_and_swap)
{
    set_up();
    machine->reg[3] = DEVICE;
    machine->reg[1] = 0xff00000001; /* 1, as far as 4 bytes go */
    machine->reg[2] = 7;
    memcpy(machine->space + DEVICE, &(uint32_t){1}, 4);
    CHECK_INT(a64_run_word(machine, CAS_W), VISOR_EXIT_NONE);
    CHECK_INT(machine->logged, 2);
    CHECK_INT(in_space(DEVICE, 4), 7);
    CHECK_INT(machine->reg[1], 1);
    CHECK_INT(machine->reg[2], 7);

    machine->reg[VISOR__A64_PC] = CODE;
    CHECK_INT(a64_run_word(machine, CAS_W), VISOR_EXIT_NONE);
    CHECK_INT(machine->logged, 1); /* 7 is not 1: no write */
    CHECK_INT(machine->reg[1], 7);

    machine->reg[VISOR__A64_PC] = CODE;
    machine->reg[6] = DEVICE + 16;
    machine->reg[2] = in_space(DEVICE + 16, 8);
    machine->reg[3] = in_space(DEVICE + 24, 8);
    machine->reg[4] = 4;
    machine->reg[5] = 5;
    CHECK_INT(a64_run_word(machine, CASP_X), VISOR_EXIT_NONE);
    CHECK_INT(machine->logged, 4);
    CHECK_INT(in_space(DEVICE + 16, 8), 4);
    CHECK_INT(in_space(DEVICE + 24, 8), 5);

    machine->reg[VISOR__A64_PC] = CODE;
    machine->reg[2] = 4;
    machine->reg[3] = 6; /* only one of two is the same */
    CHECK_INT(a64_run_word(machine, CASP_X), VISOR_EXIT_NONE);
    CHECK_INT(machine->logged, 2);
    CHECK_INT(machine->reg[3], 5);
    a64_free(machine);
}

TEST(atomics_in_memory_are_left_to_the_guest)
{
    set_up();
    machine->page[DEVICE / A64_PAGE] = A64_RAM; /* there is memory now */
    machine->reg[3] = DEVICE;
    CHECK_INT(a64_run_word(machine, LDADD_X), VISOR_EXIT_NONE);
    CHECK_INT(machine->sets, 0);
    CHECK_INT(machine->reg[VISOR__A64_PC], CODE);
    CHECK_INT(machine->assist.active, false);

    machine->page[DEVICE / A64_PAGE] = A64_ROM; /* read from it, write handed out */
    CHECK_INT(a64_run_word(machine, LDADD_X), VISOR_EXIT_NONE);
    CHECK_INT(machine->logged, 1);
    check_access(0, DEVICE, 8, true);
    a64_free(machine);
}

/* ---- more than one page, memory in between ---- */

TEST(accesses_are_split_at_pages)
{
    set_up();
    machine->reg[2] = DEVICE + A64_PAGE - 3;
    machine->fault_gpa = DEVICE + A64_PAGE;
    CHECK_INT(a64_run_word(machine, LDUR_X1), VISOR_EXIT_NONE);
    CHECK_INT(machine->logged, 2);
    check_access(0, DEVICE + A64_PAGE - 3, 3, false);
    check_access(1, DEVICE + A64_PAGE, 5, false);
    CHECK_INT(machine->reg[1], in_space(DEVICE + A64_PAGE - 3, 8));

    machine->reg[VISOR__A64_PC] = CODE;
    machine->reg[3] = DEVICE + A64_PAGE - 0x13; /* registers of 16 bytes: 8, 8, 3, 5, 8 */
    CHECK_INT(a64_run_word(machine, LDP_Q0_Q31_M32), VISOR_EXIT_NONE);
    CHECK_INT(machine->logged, 5);
    check_access(2, DEVICE + A64_PAGE - 3, 3, false);
    check_access(3, DEVICE + A64_PAGE, 5, false);
    check_access(4, DEVICE + A64_PAGE + 5, 8, false);
    CHECK(memcmp(machine->v[0], machine->space + DEVICE + A64_PAGE - 0x13, 16) == 0);
    CHECK(memcmp(machine->v[31], machine->space + DEVICE + A64_PAGE - 3, 16) == 0);
    a64_free(machine);
}

TEST(memory_is_not_handed_out)
{
    set_up();
    machine->reg[2] = DEVICE - 3; /* three bytes are RAM */
    CHECK_INT(a64_run_word(machine, LDUR_X1), VISOR_EXIT_NONE);
    CHECK_INT(machine->logged, 1);
    check_access(0, DEVICE, 5, false);
    CHECK_INT(machine->reg[1], in_space(DEVICE - 3, 8));

    machine->reg[VISOR__A64_PC] = CODE;
    machine->reg[2] = ROM + A64_PAGE - 1; /* ROM, then RAM */
    machine->reg[1] = 0xaabbccdd;
    machine->fault_gpa = ROM + A64_PAGE - 1;
    CHECK_INT(a64_run_word(machine, STUR_W1), VISOR_EXIT_NONE);
    CHECK_INT(machine->logged, 1);
    check_access(0, ROM + A64_PAGE - 1, 1, true);
    CHECK_INT(in_space(ROM + A64_PAGE, 3), 0xaabbcc);
    a64_free(machine);
}

TEST(reading_rom_is_no_exit)
{
    set_up();
    machine->reg[2] = ROM - 4;
    machine->fault_gpa = ROM - 4;
    CHECK_INT(a64_run_word(machine, LDUR_X1), VISOR_EXIT_NONE);
    CHECK_INT(machine->logged, 1);
    check_access(0, ROM - 4, 4, false);
    CHECK_INT(machine->reg[1], in_space(ROM - 4, 8));
    a64_free(machine);
}

/* ---- before the end and at the end ---- */

TEST(nothing_changes_before_the_last_answer)
{
    uint64_t before[VISOR__A64_REGISTERS];
    int ret;

    set_up();
    memcpy(machine->space + CODE, &(uint32_t){LDP_X1_X2_POST16}, 4);
    machine->reg[3] = DEVICE;
    memcpy(before, machine->reg, sizeof(before));
    for (unsigned answers = 0; answers < 2; answers++) {
        ret = a64_start(machine);
        for (unsigned i = 0; i < answers; i++) {
            REQUIRE(ret == VISOR_EXIT_MMIO);
            a64_serve(machine);
            visor__a64_answer(&machine->assist, &machine->exit.io);
            ret = visor__a64_next(&machine->exit, &machine->assist);
        }
        CHECK_INT(ret, VISOR_EXIT_MMIO);
        CHECK_INT(machine->sets, 0);
        machine->assist = (struct visor__a64_assist){0}; /* forgotten */
        CHECK_INT(visor__a64_next(&machine->exit, &machine->assist), VISOR_EXIT_NONE);
        CHECK(memcmp(before, machine->reg, sizeof(before)) == 0);
    }
    a64_free(machine);
}

TEST(an_access_is_handed_out_until_it_is_answered)
{
    set_up();
    memcpy(machine->space + CODE, &(uint32_t){LDP_X1_X2_POST16}, 4);
    machine->reg[3] = DEVICE;
    CHECK_INT(a64_start(machine), VISOR_EXIT_MMIO);
    memset(&machine->exit, 0, sizeof(machine->exit));
    CHECK_INT(visor__a64_next(&machine->exit, &machine->assist), VISOR_EXIT_MMIO);
    CHECK_INT(machine->exit.io.address, DEVICE);
    CHECK_INT(machine->exit.io.length, 8);
    a64_free(machine);
}

TEST(answers_without_a_question_are_ignored)
{
    struct visor__a64_assist none, copy;
    visor_io io = {.length = 8};

    memset(&none, 0, sizeof(none)); /* gaps and all, for the comparison */
    memset(&copy, 0, sizeof(copy));
    visor__a64_answer(&none, &io);
    /* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison,cert-exp42-c,cert-flp37-c): as above. */
    CHECK(memcmp(&none, &copy, sizeof(none)) == 0);
}

/* DDI 0487, "PSTATE.BTYPE" and the software step state machine. */
TEST(pstate_is_that_of_the_next_instruction)
{
    const uint64_t rest = A64_EL1H | UINT64_C(0xf00003c0);

    set_up();
    machine->reg[3] = DEVICE;
    machine->reg[VISOR__A64_PSTATE] = rest | UINT64_C(3) << 10 | UINT64_C(1) << 21;
    CHECK_INT(a64_run_word(machine, LDP_X1_X2_POST16), VISOR_EXIT_NONE);
    CHECK_INT(machine->reg[VISOR__A64_PSTATE], rest);
    a64_free(machine);
}

TEST(big_endian_guests)
{
    static const struct {
        uint64_t pstate, sctlr;
        bool swapped;
    } cases[] = {
        {A64_EL1H, 1u << 25, true},
        {A64_EL1H, 1u << 24, false},
        {A64_EL0T, 1u << 24, true},
        {A64_EL0T, 1u << 25, false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t first, swapped;

        set_up();
        machine->reg[VISOR__A64_PSTATE] = cases[i].pstate;
        machine->reg[VISOR__A64_SCTLR_EL1] = cases[i].sctlr;
        machine->reg[3] = DEVICE;
        first = in_space(DEVICE, 8);
        swapped = __builtin_bswap64(first);
        CHECK_INT(a64_run_word(machine, LDP_X1_X2_POST16), VISOR_EXIT_NONE);
        CHECK_INT(machine->reg[1], cases[i].swapped ? swapped : first);

        machine->reg[VISOR__A64_PC] = CODE;
        machine->reg[3] = DEVICE;
        machine->reg[1] = 1;
        CHECK_INT(a64_run_word(machine, LDADD_X), VISOR_EXIT_NONE);
        CHECK_INT(in_space(DEVICE, 8),
                  cases[i].swapped ? __builtin_bswap64(swapped + 1) : first + 1);
        a64_free(machine);
    }
}

/* ---- refusals ---- */

static void check_refused(uint32_t word, enum visor__a64_refusal refusal, bool has_instruction)
{
    const visor_exit *exit = &machine->exit;

    CHECK_INT(a64_run_word(machine, word), VISOR_EXIT_INTERNAL_ERROR);
    CHECK_INT(exit->internal.suberror, refusal);
    CHECK(exit->internal.text != NULL && strlen(exit->internal.text) > 10);
    CHECK_INT(exit->internal.data_count, 3);
    CHECK_INT(exit->internal.data[0], machine->fault_gpa);
    CHECK_INT(exit->internal.data[1], 0x1234);
    CHECK_INT(exit->internal.data[2], machine->reg[VISOR__A64_PC]);
    CHECK_INT(exit->internal.instruction_len, has_instruction ? 4 : 0);
    if (has_instruction)
        CHECK(memcmp(exit->internal.instruction, &word, 4) == 0);
    CHECK_INT(machine->sets, 0);
    CHECK_INT(machine->logged, 0);
    CHECK_INT(visor__a64_next(&machine->exit, &machine->assist), VISOR_EXIT_NONE);
}

TEST(refusals_carry_the_instruction)
{
    set_up();
    machine->reg[2] = machine->reg[3] = DEVICE;
    check_refused(LDXR_X1, VISOR__A64_REFUSED_EXCLUSIVE, true);
    check_refused(0x8b020020, VISOR__A64_REFUSED_UNKNOWN, true); /* add x0, x1, x2 */
    machine->reg[3] = DEVICE + A64_PAGE; /* but the page before it faulted */
    check_refused(LDP_X1_X2_POST16, VISOR__A64_REFUSED_ELSEWHERE, true);
    machine->reg[3] = UINT64_C(1) << 60;
    check_refused(LDP_X1_X2_POST16, VISOR__A64_REFUSED_TRANSLATION, true);
    a64_free(machine);
}

TEST(only_aarch64_at_el0_and_el1)
{
    static const uint64_t others[] = {0x10, 0x13, 0x8, 0x9, 0xd};

    set_up();
    machine->reg[3] = DEVICE;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        machine->reg[VISOR__A64_PSTATE] = others[i];
        check_refused(LDP_X1_X2_POST16, VISOR__A64_REFUSED_STATE, false);
    }
    a64_free(machine);
}

TEST(instruction_must_be_readable)
{
    set_up();
    machine->reg[3] = DEVICE;
    machine->reg[VISOR__A64_PC] = DEVICE + 0x100;
    check_refused(LDP_X1_X2_POST16, VISOR__A64_REFUSED_FETCH, false);
    machine->reg[VISOR__A64_PC] = CODE + 2;
    check_refused(LDP_X1_X2_POST16, VISOR__A64_REFUSED_FETCH, false);
    a64_free(machine);
}

/* Whichever operation fails, its error comes back, and the instruction is over. */
TEST(errors_of_operations_are_passed_on)
{
    static const uint32_t words[] = {
        LDP_X1_X2_POST16, STP_X1_X2_SP_PRE, LDADD_X, CAS_W, LD1_B13, ST4_H7};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        int ret = VISOR_EBROKEN;

        for (int after = 0; ret == VISOR_EBROKEN; after++) {
            set_up();
            machine->reg[2] = machine->reg[3] = DEVICE;
            machine->reg[VISOR__A64_SP_EL1] = DEVICE + 16;
            machine->reg[VISOR__A64_PSTATE] |= UINT64_C(1) << 21;
            machine->fail_after = after;
            ret = a64_run_word(machine, words[i]);
            CHECK_INT(machine->assist.active, false);
            CHECK(after > 12 || ret == VISOR_EBROKEN);
            a64_free(machine);
        }
        CHECK_INT(ret, VISOR_EXIT_NONE);
    }
}

UNIT_MAIN()
